"""The coordinator of a run whose model is cut into stages: what it is told, seats and follows, and what it saves."""
