"""How attackers talk to each other behind everyone's back: their names, and small or large notes about a step.

A peer that comes later reads a note without waiting; only `wait_for` waits, and never longer than it is told: it is
for the worker thread that computes gradients, never for the event loop.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

from btard.errors import UserError
from btard.identity import PeerId

KEPT = 4
"""Steps whose notes are kept."""

_MEMORY = "memory:"
_POLL = 0.01


class Channel(Protocol):
    """A meeting place of attackers, who trust each other."""

    def join(self, peer: PeerId) -> None:
        """Say that this peer is one of us."""

    def members(self) -> frozenset[PeerId]:
        """Return the peers that have joined."""

    def post(self, step: int, topic: str, author: PeerId, note: bytes) -> None:
        """Leave a note; notes of steps long past are thrown away."""

    def read(self, step: int, topic: str) -> dict[PeerId, bytes]:
        """Return the notes on this topic so far, by author."""


class MemoryChannel:
    """For colluders within one process: simulations and tests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: set[PeerId] = set()
        self._notes: dict[int, dict[str, dict[PeerId, bytes]]] = defaultdict(lambda: defaultdict(dict))

    def join(self, peer: PeerId) -> None:
        with self._lock:
            self._members.add(peer)

    def members(self) -> frozenset[PeerId]:
        with self._lock:
            return frozenset(self._members)

    def post(self, step: int, topic: str, author: PeerId, note: bytes) -> None:
        with self._lock:
            self._notes[step][topic][author] = note
            for old in [known for known in self._notes if known <= step - KEPT]:
                del self._notes[old]

    def read(self, step: int, topic: str) -> dict[PeerId, bytes]:
        with self._lock:
            return dict(self._notes[step][topic]) if step in self._notes else {}


class DirectoryChannel:
    """For colluders in several processes: files in a directory that all of them reach, on one machine or a shared disk.

    A file appears whole, since it is written under another name first. What cannot be read or written counts as not
    there: an attacker goes on alone.
    """

    def __init__(self, directory: Path) -> None:
        try:
            self._joined = directory / "members"
            self._joined.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"COLLUDE_AT is {directory}, which cannot be written: {error.strerror}") from None
        self._directory = directory
        self._posted: list[tuple[int, Path]] = []

    def join(self, peer: PeerId) -> None:
        with contextlib.suppress(OSError):
            (self._joined / str(peer)).touch()

    def members(self) -> frozenset[PeerId]:
        return frozenset(self._authors(self._joined))

    def post(self, step: int, topic: str, author: PeerId, note: bytes) -> None:
        """Leave a note as a file that appears whole, and throw away the own notes of steps long past."""
        folder = self._folder(step, topic)
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            unfinished = folder / f".{author}"
            unfinished.write_bytes(note)
            unfinished.replace(folder / str(author))
            self._posted.append((step, folder / str(author)))
        self._tidy(step)

    def read(self, step: int, topic: str) -> dict[PeerId, bytes]:
        notes = {}
        for author, path in self._authors(self._folder(step, topic)).items():
            with contextlib.suppress(OSError):
                notes[author] = path.read_bytes()
        return notes

    def _folder(self, step: int, topic: str) -> Path:
        return self._directory / f"step-{step:012}" / topic

    def _authors(self, folder: Path) -> dict[PeerId, Path]:
        found = {}
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                with contextlib.suppress(UserError):
                    found[PeerId.parse(path.name)] = path
        return found

    def _tidy(self, step: int) -> None:
        """Remove the own notes of steps long past, and folders that nobody else has anything in."""
        old = [path for posted, path in self._posted if posted <= step - KEPT]
        self._posted = [entry for entry in self._posted if entry[0] > step - KEPT]
        for path in old:
            with contextlib.suppress(OSError):
                path.unlink()
                path.parent.rmdir()
                path.parent.parent.rmdir()


_by_name: WeakValueDictionary[str, MemoryChannel] = WeakValueDictionary()


def open_channel(place: str | None) -> Channel:
    """Return the channel at a place: a directory, or `memory:NAME` for this process; None is a place for one alone.

    Raises:
        UserError: the directory cannot be written.
    """
    if place is None:
        return MemoryChannel()
    if place.startswith(_MEMORY):
        return _by_name.setdefault(place, MemoryChannel())
    return DirectoryChannel(Path(place))


def wait_for(channel: Channel, step: int, topic: str, authors: int, patience_seconds: float) -> dict[PeerId, bytes]:
    """Return the notes on a topic once there are as many as `authors`, or what there is after `patience_seconds`."""
    deadline = time.monotonic() + patience_seconds
    while True:
        notes = channel.read(step, topic)
        if len(notes) >= authors or time.monotonic() >= deadline:
            return notes
        time.sleep(_POLL)
