"""The logs of a run: one JSON object a line, written by the daemons and followed by all who explain a run."""
