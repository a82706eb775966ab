"""A small world for agreements: virtual time, chosen delays, and members that lie as a script says.

Signatures are bytes that only `sign` of their author makes; a liar has the `sign` of all liars.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from btard.agreement.machine import Agreement, Dispensable, Out
from btard.agreement.messages import (
    Endorsement,
    Package,
    Signatures,
    Spoken,
    Statement,
    Vector,
    VectorVote,
    VoteRound,
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


def vote(voter: PeerId, vector: bytes, round_: VoteRound = VoteRound.FIRST) -> VectorVote:
    return VectorVote(voter, round_, vector, signer(voter)(vote_bytes(TOPIC, round_, vector)))


def _same(known: set[PeerId]) -> set[PeerId]:
    return known


Delay = Callable[[PeerId, PeerId], float]
"""Seconds that the next message from one honest member to another takes, at most BOUND."""

FRUITLESS = 200_000
"""Events after which a world has run for ever."""


@dataclass
class World:
    """Honest members, and messages under way to them. Of two things at one time a message comes first, then a tick.

    Attributes:
        prompted: whether the first message that comes makes a member begin, if it has not.
        clocks: when windows begin to count at a member; at its start if it is not named.
        mortal: which of its messages, each to one receiver, a member sends no more: it is dead from then on.
        leaving: after how many of its messages, each to one receiver, a member says goodbye to each other one, and is
            gone; what it sends at that moment it sends to all.
        tardy: how much longer than other messages a goodbye takes.
        parted: the members that have left.
        goodbyes: of which members a member knows that they have left.
        voted: the vectors that honest members have voted for, by digest.
        heard: of every message that an honest member sends to a liar: (time, receiver, message).
        messages, bodies: how many messages honest members have sent to honest ones; how many statements, to anyone.
    """

    terms: Terms
    honest: tuple[PeerId, ...]
    delay: Delay
    dispensable: Dispensable = lambda statements: frozenset()
    prompted: bool = True
    clocks: dict[PeerId, float] = field(default_factory=dict)
    mortal: dict[PeerId, int] = field(default_factory=dict)
    leaving: dict[PeerId, int] = field(default_factory=dict)
    tardy: Delay = lambda sender, receiver: 0.0
    parted: set[PeerId] = field(default_factory=set)
    goodbyes: dict[PeerId, set[PeerId]] = field(default_factory=dict)
    machines: dict[PeerId, Agreement] = field(default_factory=dict)
    voted: dict[bytes, Vector] = field(default_factory=dict)
    heard: list[tuple[float, PeerId, Package]] = field(default_factory=list)
    decided_at: dict[PeerId, float] = field(default_factory=dict)
    now: float = 0.0
    messages: int = 0
    bodies: int = 0

    def __post_init__(self) -> None:
        self._queue: list[tuple[float, bool, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._bodies: dict[PeerId, bytes | None] = {}
        self._begun: set[PeerId] = set()
        self._sent: dict[PeerId, int] = dict.fromkeys(self.honest, 0)
        self._ticks: dict[PeerId, float] = {}
        for peer in self.honest:
            gone = self.goodbyes[peer] = set()
            signatures = Signatures(signer(peer), verify, read)
            dispensable = partial(self._without, gone)
            self.machines[peer] = Agreement(self.terms, peer, signatures, dispensable, partial(_same, gone))

    def _without(self, gone: set[PeerId], statements: Mapping[PeerId, Statement]) -> frozenset[PeerId]:
        """Those that have left without a word may be done without, as far as one knows."""
        return self.dispensable(statements) | (gone - statements.keys())

    def at(self, time: float, act: Callable[[], None], *, tick: bool = False) -> None:
        heapq.heappush(self._queue, (time, tick, next(self._number), act))

    def start(self, peer: PeerId, time: float, body: bytes | None) -> None:
        """Let a member recall at this time, or when it first hears of the agreement if messages prompt it."""
        self._bodies[peer] = body
        self.at(time, lambda: self._begin(peer))

    def alive(self, peer: PeerId) -> bool:
        """Return whether a member is honest, and has neither died nor left."""
        return peer in self.machines and self.mortal.get(peer, 1) > 0 and peer not in self.parted

    def _begin(self, peer: PeerId) -> None:
        if peer not in self._begun and self.alive(peer):
            self._begun.add(peer)
            if self.leaving.get(peer) == 0:
                self._leave(peer)
                return
            body, machine = self._bodies[peer], self.machines[peer]
            own = None if body is None else statement(peer, body)
            self._perform(peer, machine.start(self.now, own, self.clocks.get(peer)))

    def settle(self, dispensable: Dispensable) -> None:
        """Let the honest do without what is missing where this says so."""
        self.dispensable = dispensable

    def terms_vector(self) -> dict[PeerId, bytes]:
        """Return what the honest say; nothing of liars."""
        return {peer: statement(peer, body).digest for peer, body in self._bodies.items() if body is not None}

    def lie(self, time: float, receiver: PeerId, message: Package) -> None:
        """Let a liar's message arrive."""
        self.lie_then(time, receiver, lambda: message)

    def lie_then(self, time: float, receiver: PeerId, message: Callable[[], Package]) -> None:
        """Let a liar's message arrive, which it thinks up at that moment."""
        liar = next(peer for peer in self.terms.members if peer not in self.machines)
        self.at(time, lambda: self._hear(receiver, liar, message()))

    def _hear(self, peer: PeerId, sender: PeerId, message: Package) -> None:
        if self.prompted:
            self._begin(peer)
        if self.alive(peer):
            self._perform(peer, self.machines[peer].hear(self.now, sender, message))

    def _perform(self, peer: PeerId, outs: list[Out]) -> None:
        for out in outs:
            assert_travels(out.message, len(self.terms.members))
            if out.message.votes:
                ledger = self.machines[peer]._ledger
                self.voted[ledger.own_digest] = ledger.proposal
            for receiver in out.receivers:
                self._sent[peer] += 1
                self.bodies += len(out.message.statements)
                if peer in self.mortal:
                    self.mortal[peer] -= 1
                    if self.mortal[peer] <= 0:
                        return
                if receiver in self.machines:
                    self.messages += 1
                    arrival = self.now + self.delay(peer, receiver)
                    self.at(arrival, partial(self._hear, receiver, peer, out.message))
                else:
                    self.heard.append((self.now, receiver, out.message))
        if self._sent[peer] >= self.leaving.get(peer, FRUITLESS):
            self._leave(peer)
            return
        machine = self.machines[peer]
        if machine.decision is not None:
            self.decided_at.setdefault(peer, self.now)
        elif machine.deadline < float("inf"):
            assert machine.deadline > self.now, "a deadline has passed, and nothing has come of it"
            if self._ticks.get(peer) != machine.deadline:
                self._ticks[peer] = machine.deadline
                self.at(machine.deadline, partial(self._tick, peer), tick=True)

    def _leave(self, peer: PeerId) -> None:
        self.parted.add(peer)
        for other in self.honest:
            if other != peer:
                arrival = self.now + self.delay(peer, other) + self.tardy(peer, other)
                self.at(arrival, partial(self._part, other, peer))

    def _part(self, peer: PeerId, author: PeerId) -> None:
        """A member has a goodbye, and looks what follows, if it has begun."""
        self.goodbyes[peer].add(author)
        if peer in self._begun and self.alive(peer):
            self._perform(peer, self.machines[peer].tick(self.now))

    def _tick(self, peer: PeerId) -> None:
        machine = self.machines[peer]
        if machine.decision is None and machine.deadline <= self.now and self.alive(peer):
            self._perform(peer, machine.tick(self.now))

    def run(self) -> dict[PeerId, Vector]:
        """Go on until nothing is left to happen, and return what the honest that live have decided."""
        for _ in range(FRUITLESS):
            if not self._queue:
                break
            self.now, _, _, act = heapq.heappop(self._queue)
            act()
        assert not self._queue, "it goes on for ever"
        decisions = {peer: machine.decision for peer, machine in self.machines.items() if self.alive(peer)}
        return {peer: decision for peer, decision in decisions.items() if decision is not None}


def assert_travels(package: Package, count: int) -> None:
    """Assert that a receiver reads a package of this many members: the limits are those of `unpack`."""
    assert len(package.statements) <= 2 * count
    assert len(package.endorsements) <= count * (count + 2)
    assert all(len(one.items) <= 2 * count + 1 for one in package.endorsements)
    assert len(package.votes) <= count
    assert len(package.wanted) <= 2 * count + 1
