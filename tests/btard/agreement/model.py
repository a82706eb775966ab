"""A small world for agreements: virtual time, chosen delays, and members that lie as a script says.

Signatures are bytes that only `sign` of their author makes; a liar has the `sign` of all liars.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from btard.agreement.machine import Agreement, Out, Settled
from btard.agreement.messages import (
    Endorsement,
    Package,
    Signatures,
    Spoken,
    Statement,
    Vector,
    VectorVote,
    endorsement_bytes,
    vote_bytes,
)
from btard.agreement.terms import Terms
from btard.hashing import digest
from btard.identity import PeerId

BOUND = 1.0
TOPIC = bytes(32)


def peers(count: int) -> tuple[PeerId, ...]:
    """Return so many ids; only their order matters here."""
    return tuple(bytes.__new__(PeerId, bytes([index + 1]) * 38) for index in range(count))


def signer(peer: PeerId) -> Callable[[bytes], bytes]:
    return lambda content: peer[:1] + content


def verify(peer: PeerId, content: bytes, signature: bytes) -> bool:
    return signature == peer[:1] + content


def read(author: PeerId, body: bytes) -> bytes | None:
    return digest(body) if body[:1] == author[:1] else None


def statement(author: PeerId, said: bytes) -> Statement:
    body = author[:1] + said
    return Statement(author, digest(body), body)


def endorsement(voter: PeerId, items: Iterable[Spoken]) -> Endorsement:
    signed = tuple(items)
    return Endorsement(voter, signed, signer(voter)(endorsement_bytes(TOPIC, signed)))


def vote(voter: PeerId, vector: bytes) -> VectorVote:
    return VectorVote(voter, vector, signer(voter)(vote_bytes(TOPIC, vector)))


Delay = Callable[[PeerId, PeerId], float]
"""Seconds that the next message from one honest member to another takes, at most BOUND."""


@dataclass
class World:
    """Honest members, and messages under way to them.

    Attributes:
        heard: of every message that an honest member sends to a liar: (time, receiver, message).
        messages: how many messages honest members have sent to honest ones.
    """

    terms: Terms
    honest: tuple[PeerId, ...]
    delay: Delay
    settled: Settled = lambda statements: False
    machines: dict[PeerId, Agreement] = field(default_factory=dict)
    heard: list[tuple[float, PeerId, Package]] = field(default_factory=list)
    decided_at: dict[PeerId, float] = field(default_factory=dict)
    now: float = 0.0
    messages: int = 0

    def __post_init__(self) -> None:
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._bodies: dict[PeerId, bytes] = {}
        self._begun: set[PeerId] = set()
        for peer in self.honest:
            self.machines[peer] = Agreement(self.terms, peer, Signatures(signer(peer), verify, read), self.settled)

    def at(self, time: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (time, next(self._number), act))

    def start(self, peer: PeerId, time: float, body: bytes) -> None:
        """Let a member testify at this time, or when it first hears of the agreement."""
        self._bodies[peer] = body
        self.at(time, lambda: self._begin(peer))

    def _begin(self, peer: PeerId) -> None:
        if peer not in self._begun:
            self._begun.add(peer)
            self._perform(peer, self.machines[peer].start(self.now, statement(peer, self._bodies[peer])))

    def settle(self, settled: Settled) -> None:
        """Let the honest do without what is missing where this says so."""
        for machine in self.machines.values():
            machine._settled = settled

    def terms_vector(self) -> dict[PeerId, bytes]:
        """Return what the honest say; nothing of liars."""
        return {peer: statement(peer, body).digest for peer, body in self._bodies.items()}

    def lie(self, time: float, receiver: PeerId, message: Package) -> None:
        """Let a liar's message arrive."""
        liar = next(peer for peer in self.terms.members if peer not in self.machines)
        self.at(time, lambda: self._hear(receiver, liar, message))

    def _hear(self, peer: PeerId, sender: PeerId, message: Package) -> None:
        self._begin(peer)
        self._perform(peer, self.machines[peer].hear(self.now, sender, message))

    def _perform(self, peer: PeerId, outs: list[Out]) -> None:
        for out in outs:
            for receiver in out.receivers:
                if receiver in self.machines:
                    self.messages += 1
                    arrival = self.now + self.delay(peer, receiver)
                    self.at(arrival, partial(self._hear, receiver, peer, out.message))
                else:
                    self.heard.append((self.now, receiver, out.message))
        machine = self.machines[peer]
        if machine.decision is not None:
            self.decided_at.setdefault(peer, self.now)
        elif machine.deadline < float("inf"):
            self.at(max(machine.deadline, self.now), lambda: self._tick(peer))

    def _tick(self, peer: PeerId) -> None:
        machine = self.machines[peer]
        if machine.decision is None and machine.deadline <= self.now:
            self._perform(peer, machine.tick(self.now))

    def run(self) -> dict[PeerId, Vector]:
        """Go on until nothing is left to happen, and return what the honest have decided."""
        for _ in range(200_000):
            if not self._queue:
                break
            self.now, _, act = heapq.heappop(self._queue)
            act()
        assert not self._queue, "it goes on for ever"
        return {peer: machine.decision for peer, machine in self.machines.items() if machine.decision is not None}
