"""Members that come back, in one process: each second those that are there show each other all that they know."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from btard.hashing import digest
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.reunion.messages import Memory, Place
from btard.reunion.reunion import Reopening, Reunion
from btard.round.roster import Roster, first_randomness
from tests.btard.round.swarm import keys

RUN = b"sixteen bytes ok"
KEYS = keys(7)
WINDOW = 4.0

Show = Callable[[PeerId, float], Iterable[Envelope]]
"""What a liar shows to a peer at a time."""


def roster(step: int, count: int = 5, branch: int = 0) -> Roster:
    """Return a roster of so many peers; another branch has drawn something else."""
    return Roster(step, tuple(key.peer_id for key in KEYS[:count]), frozenset(), first_randomness(branch, step))


def place(step: int, count: int = 5, branch: int = 0) -> Place:
    """Return where honest members stand in a step."""
    return Place(step, roster(step, count, branch).digest, digest(b"state %d %d" % (branch, step)))


def memory(until: int, first: int = 0, count: int = 5) -> Memory:
    """Return what an honest member remembers."""
    return Memory(tuple(place(step, count) for step in range(first, until + 1)))


def signed_memory(key: IdentityKey, places: Memory, incarnation: int = 0) -> Envelope:
    """Return what a liar says that it remembers."""
    return Envelope.sign(key, run=RUN, step=incarnation, kind=MessageKind.MEMORY, body=places.encode())


def vote(key: IdentityKey, number: int, where: Place) -> Envelope:
    """Return a liar's vote."""
    return Envelope.sign(key, run=RUN, step=number, kind=MessageKind.RESUME, body=where.encode())


class Back:
    """An honest member that has come back."""

    def __init__(
        self,
        number: int,
        until: int,
        *,
        count: int = 5,
        incarnation: int = 0,
        remembers: Memory | None = None,
        proof: Iterable[Envelope] = (),
        has: Iterable[Place] | None = None,
        luck: float = 0.0,
    ) -> None:
        self.key = KEYS[number]
        own = remembers or memory(until, max(0, until - 9), count)
        trusted = replace(roster(until, count))
        self.reunion = Reunion(self.key, RUN, trusted, own, incarnation, window_seconds=WINDOW, luck=luck, proof=proof)
        self.has = set(own.places if has is None else has)
        self.decided: Reopening | None = None
        self.decided_at = 0.0


class Meeting:
    """Honest members, and what liars show to each of them."""

    def __init__(self, members: Iterable[Back], show: Show = lambda peer, now: ()) -> None:
        self.members = list(members)
        self.show = show
        self.now = 0.0

    def turn(self) -> None:
        """Let a second pass: all show each other what they have known, and states are handed on."""
        self.now += 1.0
        known = [member.reunion.envelopes for member in self.members]
        offered = set().union(*(member.has for member in self.members))
        for number, member in enumerate(self.members):
            member.reunion.hear(self.now, self.show(member.key.peer_id, self.now))
            for other in (*known[:number], *known[number + 1 :]):
                member.reunion.hear(self.now, other)
            best = next((where for where in member.reunion.candidates() if where in offered), None)
            if best is not None:
                member.has.add(best)
            if member.decided is None:
                member.decided = member.reunion.tick(self.now, member.has)
                member.decided_at = self.now

    def run(self, seconds: int = 60) -> list[Reopening]:
        """Let so many seconds pass, and return what has been decided."""
        for _ in range(seconds):
            self.turn()
        return [member.decided for member in self.members if member.decided is not None]
