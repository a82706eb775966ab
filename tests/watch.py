"""Sees what this process opens, imports, runs and connects to, and what native code opens among some files."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_RUN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn")
_CONNECT = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request")
_IN_OPEN = 0x20
_EVENT = struct.Struct("iIII")


@dataclass
class Touched:
    """What was touched.

    Attributes:
        opened: paths, by Python code, for reading or writing.
        imported: modules' names.
        ran: programs and unpickled classes.
        connected: addresses.
        canaries: those files of the watched ones that anybody has opened, native code included.
    """

    opened: list[str] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)
    canaries: list[str] = field(default_factory=list)

    def outside(self, *allowed: Path) -> list[str]:
        """Return the opened paths that are below none of these, nor of where Python and its packages are."""
        roots = [Path(root).resolve() for root in (*allowed, sys.prefix, sys.base_prefix, Path(__file__).parents[1])]
        places = sorted({Path(path).absolute() for path in self.opened if not path.isdigit()})
        return [str(place) for place in places if not any(place.resolve().is_relative_to(root) for root in roots)]


_watching: list[Touched] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    for touched in _watching:
        if event == "open":
            touched.opened.append(os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else "0")
        elif event == "import":
            touched.imported.append(str(arguments[0]))
        elif event in _RUN or event == "pickle.find_class":
            touched.ran.append(f"{event} {arguments}")
        elif event in _CONNECT:
            touched.connected.append(f"{event} {arguments}")


_installed = False


@contextmanager
def watching(canaries: Sequence[Path] = ()) -> Iterator[Touched]:
    """Note all that this process touches inside; `canaries` are watched by the kernel, too, where it is Linux."""
    global _installed
    if not _installed:
        # Hooks cannot be taken out: this one is idle outside of a `with`.
        sys.addaudithook(_hook)
        _installed = True
    touched = Touched()
    notify = _Notify(canaries)
    _watching.append(touched)
    try:
        yield touched
    finally:
        _watching.remove(touched)
        touched.canaries = notify.close()


class _Notify:
    """inotify, for what is opened without Python."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files: dict[int, Path] = {}
        self._handle = -1
        if not files or sys.platform != "linux":
            return
        libc = ctypes.CDLL(None, use_errno=True)
        self._handle = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._handle >= 0, os.strerror(ctypes.get_errno())
        for file in files:
            watch = libc.inotify_add_watch(self._handle, os.fsencode(file), _IN_OPEN)
            assert watch >= 0, os.strerror(ctypes.get_errno())
            self._files[watch] = file

    def close(self) -> list[str]:
        if self._handle < 0:
            return []
        seen: list[str] = []
        try:
            data = os.read(self._handle, 1 << 16)
        except BlockingIOError:
            data = b""
        while data:
            watch, _, _, length = _EVENT.unpack_from(data)
            seen.append(str(self._files[watch]))
            data = data[_EVENT.size + length :]
        os.close(self._handle)
        return sorted(set(seen))
