"""What every console script shares: importing late, and turning errors into a sentence and an exit code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence

from btard.errors import UserError

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def guarded(program: str, run: Callable[[], int]) -> int:
    """Return what `run` returns, 2 after a UserError, whose sentence goes to standard error, or 130 after Ctrl-C."""
    try:
        return run()
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def call(module: str, function: str, argv: Sequence[str]) -> int:
    """Import `module` and return what its `function(argv)` returns, an exit code."""
    code: int = getattr(importlib.import_module(module), function)(argv)
    return code
