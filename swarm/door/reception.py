"""Answers newcomers: the run's manifest, the coordinator's newest roster, where the members are, knocks."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from btard.identity import Envelope, PeerId
from btard.swarm.door.door import Door
from btard.swarm.questions import Directory, Question, Want

_DIRECTORY_LIFETIME_SECONDS = 1.0


@dataclass(frozen=True)
class Rooms:
    """Where the answers come from that change with the run.

    Attributes:
        door: tells a caller whether it is taken in.
        roster: returns the bytes of the newest roster as the coordinator has signed it, None before the first.
        directory: returns where the others are.
        lineage: returns the chain from that roster to where the swarm is, None where the roster is the newest.
    """

    door: Door
    roster: Callable[[], Awaitable[bytes | None]]
    directory: Callable[[], Directory]
    lineage: Callable[[], bytes | None] = lambda: None


class Reception:
    """Answers newcomers: about the manifest at once, about the rest when the rooms are there."""

    def __init__(self, manifest: Envelope) -> None:
        self.manifest = manifest.encode()
        """As the coordinator has signed it."""
        self._rooms: Rooms | None = None
        self._shown: bytes | None = None
        self._shown_at = -math.inf

    def open(self, rooms: Rooms) -> None:
        """Answer with these from now on."""
        self._rooms = rooms

    async def answer(self, sender: PeerId, question: Question) -> bytes | None:
        """Answer a question of `FOR_NEWCOMERS`, or None to refuse."""
        if question.want is Want.MANIFEST:
            return self.manifest
        rooms = self._rooms
        if rooms is None:
            return None
        match question.want:
            case Want.ROSTER:
                return await rooms.roster()
            case Want.LINEAGE:
                return rooms.lineage()
            case Want.ADDRESSES:
                return self._directory(rooms)
            case Want.KNOCK if question.knock is not None:
                return rooms.door.knock(sender, question.knock).encode()
        return None

    def _directory(self, rooms: Rooms) -> bytes:
        """Return where the others are; made once for all that ask within a second."""
        now = time.monotonic()
        if self._shown is None or now - self._shown_at > _DIRECTORY_LIFETIME_SECONDS:
            self._shown, self._shown_at = rooms.directory().encode(), now
        return self._shown
