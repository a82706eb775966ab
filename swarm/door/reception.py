"""Answers newcomers: the run's manifest, the coordinator's newest roster, where the members are, knocks."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from btard.identity import Envelope, PeerId
from btard.swarm.door.door import Door
from btard.swarm.questions import Directory, Question, Want

_ANSWER_LIFETIME_SECONDS = 1.0


@dataclass(frozen=True)
class Rooms:
    """Where the answers come from that change with the run.

    Attributes:
        door: tells a caller whether it is taken in.
        roster: returns the bytes of the newest roster as the coordinator has signed it, None before the first.
        directory: returns where the others are.
        lineage: returns the chain from that roster to where the swarm is, None where the roster is the newest.
        stages: returns what the stages of a pipeline have reported, None where there are none.
    """

    door: Door
    roster: Callable[[], Awaitable[bytes | None]]
    directory: Callable[[], Directory]
    lineage: Callable[[], bytes | None] = lambda: None
    stages: Callable[[], bytes | None] = lambda: None


class Reception:
    """Answers newcomers: about the manifest at once, about the rest when the rooms are there."""

    def __init__(self, manifest: Envelope) -> None:
        self.manifest = manifest.encode()
        """As the coordinator has signed it."""
        self._rooms: Rooms | None = None
        self._shown: dict[Want, tuple[float, bytes | None]] = {}

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
                return self._recent(Want.ADDRESSES, lambda: rooms.directory().encode())
            case Want.STAGES:
                return self._recent(Want.STAGES, rooms.stages)
            case Want.KNOCK if question.knock is not None:
                return rooms.door.knock(sender, question.knock).encode()
        return None

    def _recent(self, want: Want, make: Callable[[], bytes | None]) -> bytes | None:
        """Return an answer that is made once for all that ask within a second."""
        now, shown = time.monotonic(), self._shown.get(want)
        if shown is None or now - shown[0] > _ANSWER_LIFETIME_SECONDS:
            shown = self._shown[want] = (now, make())
        return shown[1]
