"""The life of a program that the nursery has forked: from the nursery's state to an ordinary process, to its exit."""

from __future__ import annotations

import atexit
import ctypes
import importlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from btard.deploy.local.messages import Start
from btard.program import guarded

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_EXIT_CRASHED = 1


def become(start: Start, nursery: int, inherited: list[int]) -> NoReturn:
    """Run the program in this process, which was forked a moment ago, and leave; never returns.

    Args:
        start: what to run.
        nursery: the pid of the nursery.
        inherited: descriptors of the nursery that are none of the program's business.
    """
    code = _EXIT_CRASHED
    try:
        _separate(start, nursery, inherited)
        code = guarded(start.name, lambda: _target(start.target)(start.argv))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        # Not sys.exit: it would unwind the nursery's own frames, which this process has a copy of.
        _leave(code)


def _separate(start: Start, nursery: int, inherited: list[int]) -> None:
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.setsid()
    if _libc is not None:
        # The nursery's death must end the program even when it hangs; the launcher then removes its sockets.
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != nursery:
        os._exit(_EXIT_CRASHED)

    Path(start.log).parent.mkdir(parents=True, exist_ok=True)
    log = os.open(start.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for descriptor in inherited:
        os.close(descriptor)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(nothing)
    sys.stdin = os.fdopen(0, "r")
    sys.stdout = os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    os.environ.update(start.environment)
    sys.argv = [start.name, *start.argv]
    _make_own()


def _make_own() -> None:
    """Give the process its own random numbers and locks, where a copy of the nursery's would do harm.

    `random` and OpenSSL do so by themselves. Only what is imported already can hold a copy.
    """
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(int.from_bytes(os.urandom(4), "big"))
    if (mpfuture := sys.modules.get("hivemind.utils.mpfuture")) is not None:
        # Its locks are shared memory: a killed sibling could hold them forever.
        mpfuture.MPFuture.reset_backend()


def _target(name: str) -> Callable[[list[str]], int]:
    module, _, function = name.partition(":")
    found: Callable[[list[str]], int] = getattr(importlib.import_module(module), function)
    return found


def _leave(code: int) -> NoReturn:
    try:
        atexit._run_exitfuncs()
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 0xFF)
