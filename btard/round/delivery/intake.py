"""Which messages of a step are worth reading, by what stands ahead of their bodies, and which wait for an attempt."""

from __future__ import annotations

from collections import Counter

from btard.identity import Envelope, Heading, MessageKind, PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.messages.bodies import BROADCASTS

TIMELESS = frozenset({MessageKind.ASK, MessageKind.CERTIFICATE, MessageKind.LEAVE})
"""Kinds that belong to a step as a whole, whatever attempt they name."""

_CARRIERS = frozenset({MessageKind.CERTIFICATE, MessageKind.PULL, MessageKind.FORWARD, MessageKind.RELAY})
"""Kinds of which nothing more is read once their author has said in one of them what no honest peer says."""

_MOST_RELAYS = 8
"""Messages of an agreement about the next attempt that wait of each member."""


class Intake:
    """What one attempt hears of each member: no more than an honest one has to say."""

    def __init__(self) -> None:
        self._heard: Counter[tuple[MessageKind, PeerId]] = Counter()
        self._muted: set[PeerId] = set()
        self._forgers: set[PeerId] = set()
        self._future: dict[tuple[MessageKind, PeerId], list[Envelope]] = {}
        self._future_bytes: Counter[PeerId] = Counter()

    def wants(self, attempt: Attempt, heading: Heading | Envelope) -> bool:
        """Whether to read a message of the step: from a member, not longer and not oftener than what an honest one
        sends, and of an attempt in which it is of use."""
        seats = attempt.seats
        kind, author = heading.kind, heading.author
        if author not in seats.known or heading.size > seats.caps.body[kind]:
            return False
        if heading.attempt == seats.number and kind in BROADCASTS and (kind, author) not in attempt.said.signed:
            return True
        if kind not in TIMELESS and heading.attempt > seats.number:
            return heading.attempt == seats.number + 1 and self._has_room(attempt, heading)
        if kind not in TIMELESS and heading.attempt < seats.number and kind is not MessageKind.RELAY:
            return False  # only what others still ask for about an attempt that has been settled is of use
        if (kind is MessageKind.ASK and not heading.size) or (kind in _CARRIERS and author in self._muted):
            return False
        self._heard[kind, author] += 1
        return self._heard[kind, author] <= seats.caps.count[kind]

    def _has_room(self, attempt: Attempt, heading: Heading | Envelope) -> bool:
        """Whether a message may wait for the next attempt: one of a kind, or a few where an agreement goes on, and not
        too much of one author."""
        kept = self._future_bytes[heading.author] + heading.size
        most = _MOST_RELAYS if heading.kind is MessageKind.RELAY else 1
        waiting = len(self._future.get((heading.kind, heading.author), ()))
        return waiting < most and kept <= 2 * attempt.seats.caps.carrier

    def keep(self, envelope: Envelope) -> None:
        """Let a message wait for the next attempt."""
        self._future.setdefault((envelope.kind, envelope.author), []).append(envelope)
        self._future_bytes[envelope.author] += envelope.size

    def mute(self, envelope: Envelope) -> None:
        """Its author has carried what it cannot have verified: read nothing more that it carries in this attempt."""
        if envelope.kind in _CARRIERS:
            self._muted.add(envelope.author)

    def refuse_parts(self, sender: PeerId) -> None:
        """Give this neighbour no memory in this attempt any more: it has announced what no honest one announces."""
        self._forgers.add(sender)

    def takes_parts(self, sender: PeerId) -> bool:
        """Whether a neighbour may announce payloads."""
        return sender not in self._forgers

    def next_attempt(self) -> list[Envelope]:
        """Begin to listen to the next attempt, and return what has come of it by now."""
        waiting = [envelope for kept in self._future.values() for envelope in kept]
        for state in (self._heard, self._muted, self._forgers, self._future, self._future_bytes):
            state.clear()
        return waiting
