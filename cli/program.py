"""Calling a program's module late, so that each command pays only for what it uses."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from btard.program import guarded

__all__ = ["call", "guarded"]


def call(module: str, function: str, argv: Sequence[str]) -> int:
    """Import `module` and return what its `function(argv)` returns, an exit code."""
    code: int = getattr(importlib.import_module(module), function)(argv)
    return code
