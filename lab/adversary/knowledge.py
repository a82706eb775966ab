"""What colluders know: each other, all that any of them is told, the draw of a step once one of them can make it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from btard.hashing import tagged_digest
from btard.identity import Heading, MessageKind, PeerId
from btard.lab.simulation.peer import LabPeer
from btard.round.attempt.seats import Seats
from btard.round.draw import draw_audits
from btard.round.messages.accusations import Charge
from btard.round.messages.bodies import Phase


class Ring:
    """The colluders of one swarm, who share what they know.

    Args:
        seed: of their draws.

    Attributes:
        insiders: the colluders' own peers.
        poisoned: (step, attempt, colluder) of vectors that were not the honest gradient.
    """

    def __init__(self, seed: int) -> None:
        self.insiders: dict[PeerId, LabPeer] = {}
        self.poisoned: set[tuple[int, int, PeerId]] = set()
        self._seed = seed.to_bytes(8, "big")
        self._heard: defaultdict[tuple[int, int, MessageKind], set[PeerId]] = defaultdict(set)

    def join(self, peer: LabPeer) -> None:
        """One more colluder."""
        self.insiders[peer.peer_id] = peer

    def hear(self, heading: Heading) -> None:
        """A colluder was told something."""
        self._heard[heading.step, heading.attempt, heading.kind].add(heading.author)

    def honest(self, peers: Iterable[PeerId]) -> list[PeerId]:
        """Return those of the peers that are no colluders, ascending."""
        return sorted(peer for peer in peers if peer not in self.insiders)

    def mates(self, peers: Iterable[PeerId]) -> list[PeerId]:
        """Return those of the peers that are colluders, ascending."""
        return sorted(peer for peer in peers if peer in self.insiders)

    def heard(self, seats: Seats, word: MessageKind) -> int:
        """Return how many honest members have said this in an attempt, as far as any colluder has heard."""
        return len(self.honest(self._heard[seats.roster.step, seats.number, word]))

    def randomness(self, seats: Seats) -> bytes:
        """Return r^t of an attempt, 32 bytes, or nothing before a colluder holds all shares."""
        for peer in self.insiders.values():
            machine = peer.session.machine
            if machine is not None and machine.attempt.seats.attempt_id == seats.attempt_id:
                found = machine.attempt.results.randomness
                if found:
                    return found
        return b""

    def doomed(self, seats: Seats) -> bool:
        """Whether r^t of an attempt is known, and would let an honest peer examine what a colluder submits in it.

        Each failed attempt may have added a validator; colluders count all of them.
        """
        randomness = self.randomness(seats)
        if not randomness:
            return False
        rate = seats.rules.verification.validators
        audits = draw_audits(randomness, sorted(seats.voters), seats.submitters, rate, seats.number)
        return any(audit.target in self.insiders and audit.validator not in self.insiders for audit in audits)

    def judged(self, seats: Seats) -> bool:
        """Whether an honest member examines in this step what a colluder has submitted in the step before."""
        return any(t in self.insiders and v not in self.insiders for v, t in seats.validators.items())

    def drawn(self, purpose: str, step: int, peers: Iterable[PeerId]) -> list[PeerId]:
        """Return the peers in an order that the colluders draw in a step for one purpose."""
        return sorted(peers, key=lambda peer: self._digest(purpose, step, bytes(peer)))

    def coin(self, step: int, attempt: int) -> bool:
        """Whether the coin that the colluders toss in each attempt shows heads."""
        return self._digest("coin", step, attempt.to_bytes(2, "big"))[0] < 128

    def seed_of(self, purpose: str, step: int) -> int:
        """Return 63 bits that the colluders draw in a step for one purpose."""
        return int.from_bytes(self._digest(purpose, step, b"")[:8], "big") >> 1

    def _digest(self, purpose: str, step: int, field: bytes) -> bytes:
        return tagged_digest(f"btard adversary {purpose}", self._seed, step.to_bytes(8, "big"), field)


@dataclass(frozen=True)
class Occasion:
    """When a colluder decides, and about what.

    Attributes:
        seats: of the attempt that it is in.
        word: the kind of message that it is about to send; None for a decision about something else.
        receiver: of that message.
        phase: that it is about to leave, when it may charge somebody.
        charge: that it is to judge.
    """

    ring: Ring
    seats: Seats
    word: MessageKind | None = None
    receiver: PeerId | None = None
    phase: Phase | None = None
    charge: Charge | None = None

    @property
    def step(self) -> int:
        """The global step."""
        return self.seats.roster.step

    @property
    def attempt(self) -> int:
        """Which attempt at the step it is, from 0."""
        return self.seats.number
