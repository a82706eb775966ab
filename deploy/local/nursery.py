"""The nursery: imports what is slow to import once, then forks a program for each command, and outlives none of them.

`python -m btard.deploy.local.nursery GRACE MODULE...` reads commands on standard input and writes reports on standard
output (see `messages`). A program is ready in milliseconds and shares the memory of the modules; started afresh, each
would pay seconds and hundreds of megabytes. When standard input closes, which the kernel does even for a launcher that
was killed, the nursery ends every program with its p2pd and leaves.

It runs no torch operation and has a single thread: a fork takes only the thread that forks, and would leave the locks
of the others locked.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import selectors
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from btard.deploy.local.child import become
from btard.deploy.local.messages import (
    Ended,
    EndWave,
    NurseryReport,
    Ready,
    Refused,
    Start,
    Started,
    Wave,
    read_command,
)
from btard.errors import UserError

_TICK_SECONDS = 0.2
"""Seconds between looks at the deadlines, while programs are ending."""


@dataclass
class _Child:
    start: Start
    pid: int
    kill_at: float | None = None


class Nursery:
    """Forks programs and reaps them, in one thread.

    Args:
        commands: the descriptor that commands are read from.
        reports: the descriptor that reports are written to.
        grace: seconds between asking a program to end and killing it.
    """

    def __init__(self, commands: int, reports: int, grace_seconds: float) -> None:
        self._grace = grace_seconds
        self._commands = commands
        self._reports = reports
        self._children: dict[int, _Child] = {}
        self._rest = b""
        self._open = True
        # A signal handler of Python runs between bytecodes only; the pipe is what ends a waiting select.
        self._woken, self._waker = os.pipe()
        for descriptor in (self._woken, self._waker):
            os.set_blocking(descriptor, False)
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Serve until standard input closes or a SIGTERM comes; then end everything that was started."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._close())
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher decides what Ctrl-C means
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self._selector.register(self._commands, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._report(Ready(pid=os.getpid()))
        while self._open:
            self._turn()
        for wave in Wave:
            self._end(wave)
            while self._of(wave):
                self._turn()

    def _turn(self) -> None:
        """Wait for something to happen, and deal with it."""
        ending = any(child.kill_at is not None for child in self._children.values())
        for key, _ in self._selector.select(_TICK_SECONDS if ending else None):
            if key.fd == self._woken:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 4096)
            elif self._open:
                self._read_commands()
        self._reap()
        for child in self._children.values():
            if child.kill_at is not None and time.monotonic() >= child.kill_at:
                _signal(child.pid, signal.SIGKILL)

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._selector.unregister(self._commands)

    def _read_commands(self) -> None:
        chunk = os.read(self._commands, 1 << 16)
        if not chunk:
            self._close()
            return
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            try:
                command = read_command(line)
            except ValidationError as error:
                self._report(Refused(reason=f"no command: {error.errors()[0]['msg']}"))
                continue
            if isinstance(command, EndWave):
                self._end(command.wave)
            else:
                self._start(command)

    def _start(self, start: Start) -> None:
        nursery = os.getpid()
        # A signal to the new process must wait until it has handlers of its own.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        pid = os.fork()
        if pid == 0:
            self._selector.close()
            become(start, nursery, inherited=[self._woken, self._waker, self._reports])
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        self._children[pid] = _Child(start, pid)
        self._report(Started(name=start.name, pid=pid))

    def _end(self, wave: Wave) -> None:
        for child in self._of(wave):
            if child.kill_at is None:
                child.kill_at = time.monotonic() + self._grace
                _signal(child.pid, signal.SIGTERM)

    def _of(self, wave: Wave) -> list[_Child]:
        return [child for child in self._children.values() if child.start.wave is wave]

    def _reap(self) -> None:
        for child in list(self._children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                del self._children[pid]
                _remove_traces(child)
                self._report(Ended(name=child.start.name, pid=pid, code=os.waitstatus_to_exitcode(status)))

    def _report(self, report: NurseryReport) -> None:
        with contextlib.suppress(BrokenPipeError):  # without a launcher there is nobody to tell
            os.write(self._reports, report.encode())


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _remove_traces(child: _Child) -> None:
    """Remove what a program that was killed could not: the rest of its process group, p2pd, sockets, shared memory."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    for segment in Path("/dev/shm").glob(f"torch_{child.pid}_*"):
        segment.unlink(missing_ok=True)
    if child.start.identity is not None:
        remove_p2pd(Path(child.start.identity))


def remove_p2pd(identity: Path) -> None:
    """Remove the p2pd and the sockets that a dead peer left; nothing when it lives or never started one."""
    lock = identity.with_name(identity.name + ".lock")
    if lock.exists() and lock.stat().st_size:
        from btard.transport.libp2p.daemon import remove_leftovers

        with contextlib.suppress(UserError):
            remove_leftovers(identity)


def _preload(names: list[str]) -> None:
    """Import modules, and of `module:attribute` the attribute too, which lazy packages import only then.

    An attribute that is a task says in `late_imports` what else it will need.
    """
    for name in names:
        module, _, attribute = name.partition(":")
        loaded = importlib.import_module(module)
        if attribute:
            _preload(list(getattr(getattr(loaded, attribute), "late_imports", ())))


def _native_threads() -> int:
    """Return how many threads this process has, those that Python does not know of included; 1 where it cannot tell."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 1


def main(argv: list[str]) -> int:
    """Serve commands until standard input closes; `argv` is the grace in seconds, then what to import first."""
    grace, *names = argv
    # What imports print must not get between the reports.
    reports = os.dup(1)
    os.set_inheritable(reports, False)
    os.dup2(2, 1)
    _preload(names)
    if threading.active_count() > 1:
        print(f"nursery: the imports have started threads: {threading.enumerate()}", file=sys.stderr)
        return 1
    if (threads := _native_threads()) > 1:  # libraries that start some usually cope with a fork themselves
        print(f"nursery: {threads - 1} threads of libraries run, which a fork does not take along", file=sys.stderr)
    gc.collect()
    gc.freeze()  # a collection in a child would otherwise write to, and so copy, every shared page
    Nursery(0, reports, float(grace)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
