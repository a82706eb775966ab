"""What every program shares: errors become a sentence on standard error and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from btard.errors import UserError
from btard.vocabulary import ExitCode

_FIRST_PROCESS = 1


def guarded(program: str, run: Callable[[], int]) -> int:
    """Return what `run` returns, 2 after a UserError, whose sentence goes to standard error, 130 after Ctrl-C, 141 when
    its output is not read to the end."""
    if os.getpid() == _FIRST_PROCESS:
        # In a container: the kernel spares process 1 signals that it does not handle, so that a stop while imports are
        # still running would be waited out and end in a kill.
        signal.signal(signal.SIGTERM, _terminate)
    try:
        return run()
    except UserError as error:
        from btard.logs import tell_error

        tell_error(program, error)
        return ExitCode.USER_ERROR
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(ExitCode.TERMINATED)
