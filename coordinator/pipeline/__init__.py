"""The coordinator of a run whose model is cut into stages: what it seats and follows, and what it saves."""
