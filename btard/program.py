"""What every program shares: errors become a sentence on standard error and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

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
