"""The launcher's side of the nursery: starts it, tells it what to start, hears what has ended."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from btard.deploy.local.messages import Ended, EndWave, NurseryReport, Ready, Refused, Start, read_report
from btard.deploy.local.nursery import remove_p2pd
from btard.errors import UserError

GRACE_SECONDS = 8.0
"""Seconds that a program has between being asked to end and being killed."""

READY_TIMEOUT_SECONDS = 180.0
"""Seconds that the imports may take: on a cold disk they took 40."""


class Waker(Protocol):
    """Something to select on beside the nursery."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""


class NurseryClient:
    """A running nursery; use it as a context manager, which ends every program on leaving.

    Args:
        preload: what it imports first, `module` or `module:attribute`.
        environment: the whole environment of the programs.
        log: its own standard error.
        grace: seconds that a program has between being asked to end and being killed.
    """

    def __init__(
        self, preload: Sequence[str], environment: Mapping[str, str], log: Path, *, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        self._grace = grace_seconds
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._identities: list[Path] = []
        self._rest = b""
        self._gone = False
        with log.open("ab") as errors:
            # A session of its own, so that Ctrl-C reaches the launcher alone.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "btard.deploy.local.nursery", str(grace_seconds), *preload],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(environment),
                start_new_session=True,
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._commands = self._process.stdin.fileno()
        self._reports = self._process.stdout.fileno()
        os.set_blocking(self._reports, False)

    def __enter__(self) -> NurseryClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The pid of the nursery."""
        return self._process.pid

    def start(self, start: Start) -> None:
        """Fork a program; a report says when it runs."""
        if start.identity is not None:
            self._identities.append(Path(start.identity))
        self._tell(start)

    def end(self, wave: EndWave) -> None:
        """Ask the programs of a wave to end."""
        self._tell(wave)

    def reports(self, timeout_seconds: float, waker: Waker | None = None) -> list[NurseryReport]:
        """Return what the nursery said, after waiting at most `timeout_seconds` for it or for `waker`.

        Raises:
            UserError: the nursery has died, and with it every program.
        """
        ready, _, _ = select.select([self._reports, *([waker.fileno()] if waker else [])], [], [], timeout_seconds)
        if self._reports not in ready:
            return []
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._reports, 1 << 16):
                self._rest += chunk
            self._gone = True
        *lines, self._rest = self._rest.split(b"\n")
        found = [read_report(line) for line in lines]
        for report in found:
            if isinstance(report, Refused):
                raise RuntimeError(f"the nursery refuses: {report.reason}")
        if self._gone and not found:
            code = self._process.wait()
            raise UserError(f"the nursery of the swarm ended with code {code}: {last_lines(self._log) or 'no words'}")
        return found

    def wait_ready(self, waker: Waker | None = None) -> bool:
        """Wait until the nursery has imported everything; False when `waker` was readable before.

        Raises:
            UserError: it died, or takes too long.
        """
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            found = self.reports(left, waker)
            if any(isinstance(report, Ready) for report in found):
                return True
            if not found and waker is not None and select.select([waker.fileno()], [], [], 0)[0]:
                return False
        raise UserError(f"the nursery of the swarm was not ready within {READY_TIMEOUT_SECONDS:g} s; see {self._log}")

    def close(self) -> list[Ended]:
        """End every program, then the nursery; return the programs' ends. May be called twice."""
        if self._process.stdin is None or self._process.stdin.closed:
            return []
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        ended: list[Ended] = []
        # Two waves of programs, each with its time to end by itself; whatever is left then hangs in the kernel.
        deadline = time.monotonic() + 3 * self._grace
        with contextlib.suppress(UserError):
            while (left := deadline - time.monotonic()) > 0:
                ended += [report for report in self.reports(left) if isinstance(report, Ended)]
        if self._process.poll() is None and not self._gone:
            self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        for identity in self._identities:
            remove_p2pd(identity)
        return ended

    def _tell(self, command: Start | EndWave) -> None:
        view = memoryview(command.encode())
        with contextlib.suppress(BrokenPipeError):  # `reports` tells of its death
            while view:
                view = view[os.write(self._commands, view) :]


def last_lines(log: Path, count: int = 3) -> str:
    """Return the last lines of a log as one line, or nothing when there are none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return " | ".join(line.strip() for line in text.splitlines()[-count:] if line.strip())


def wait_until(condition: Callable[[], bool], look: Callable[[], object], seconds: float) -> bool:
    """Look at the processes until something holds, for at most so many seconds; return whether it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        look()
    return True
