"""Tiny programs for the nursery to start, and what the tests wait with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from btard.errors import UserError

ROOT = Path(__file__).parents[2]
DEADLINE = 120.0
HERE = "tests.deploy.standins"


def leave_with(argv: Sequence[str]) -> int:
    """Say something on both streams, and leave with the code that the words give."""
    print("said", *argv, os.environ.get("COLOUR", "no colour"))
    print("complained", file=sys.stderr)
    return int(argv[0])


class Late:
    """As a task that imports something only when it is used."""

    late_imports = ("wave:Error",)


def find_imported(argv: Sequence[str]) -> int:
    """Leave with 0 when a module has been imported already."""
    return 0 if argv[0] in sys.modules else 3


def complain(argv: Sequence[str]) -> int:
    """Fail as a program does that was given nonsense."""
    raise UserError("this is nonsense")


def crash(argv: Sequence[str]) -> int:
    """Fail as no program should."""
    raise ZeroDivisionError("a bug")


def wait(argv: Sequence[str]) -> int:
    """Wait for SIGTERM, and leave politely."""

    def leave(*_: object) -> None:
        Path(argv[0]).write_text("polite")
        raise SystemExit(130)

    signal.signal(signal.SIGTERM, leave)
    print("waiting", flush=True)
    while True:
        signal.pause()


def hang(argv: Sequence[str]) -> int:
    """Ignore SIGTERM, and have a child of the same process group that does so too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"]
    )
    print("hanging", child.pid, flush=True)
    while True:
        signal.pause()


def environment() -> dict[str, str]:
    """An environment in which the nursery finds this module."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def eventually(condition: Callable[[], object], what: str, within: float = DEADLINE) -> None:
    """Wait until a condition holds, at most `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {within:g} s"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie that its new parent has not reaped yet has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
