"""The `btard-peer` program: one peer of a swarm."""

from __future__ import annotations

import sys

from btard.cli.program import call, guarded


def main() -> int:
    """Run the daemon with the words of the command line and return its exit code."""
    return guarded("btard-peer", lambda: call("btard.pipeline.live.daemon", "run", sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
