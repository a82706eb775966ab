"""BTARD, Byzantine-tolerant all-reduce: all that this project installs is imported below this name."""

__version__ = "0.1.0"
"""The version of this software, which pyproject.toml reads here; `btard.version` has that of the protocol."""
