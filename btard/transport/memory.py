"""A simulated network: a virtual clock, and delays, losses, reordering and partitions drawn from one seed.

Everything happens in one thread in an order that the seed fixes, so a run that fails fails again. It drives the same
`Session` as the real network does.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import methodcaller

import torch

from btard.behaviour import Behaviour, LeaveReason
from btard.hashing import digest
from btard.identity import Envelope, IdentityKey, PeerId
from btard.round.actions import (
    Action,
    AggregateAgain,
    AggregateRows,
    EncodeParts,
    Examine,
    Finished,
    InspectRow,
    MeasureRows,
    Send,
    SendPart,
    Stopped,
    Voided,
)
from btard.round.partition import from_wire
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.round.session import Session
from btard.round.work import (
    UNKNOWN,
    Finding,
    aggregate_rows,
    encode_parts,
    examine,
    imbalance,
    inspect_row,
    measure_rows,
)
from btard.transport.base import Payload

HEADER_FRAME = 130
"""Bytes of a part's header beside its body: run, step, attempt, kind, author, signature."""


@dataclass(frozen=True)
class NetworkConditions:
    """What the network does to messages.

    Attributes:
        delay: (least, most) seconds a message travels, drawn uniformly; a wide range reorders.
        loss: probability that a message or a part is lost.
    """

    delay: tuple[float, float] = (0.01, 0.01)
    loss: float = 0.0

    @property
    def fixed(self) -> bool:
        """Whether nothing about a delivery is left to chance."""
        return self.loss == 0.0 and self.delay[0] == self.delay[1]


@dataclass
class Traffic:
    """Bytes that one peer has sent and received. What is lost on the way was sent.

    Attributes:
        control_sent, control_received: signed messages, once for every receiver, and the headers of parts.
        parts_sent, parts_received: the numbers of parts themselves.
    """

    control_sent: int = 0
    control_received: int = 0
    parts_sent: int = 0
    parts_received: int = 0


class Network:
    """The virtual clock, its events, and who can reach whom."""

    def __init__(self, seed: int, conditions: NetworkConditions) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.conditions = conditions
        self.peers: dict[PeerId, SimulatedPeer] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._last: _Deliveries | None = None
        self._order = itertools.count()
        self._islands: dict[PeerId, int] = {}

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Let `event` happen at a time of the virtual clock."""
        self._last = None
        heapq.heappush(self._events, (max(when, self.now), next(self._order), event))

    def partition(self, *groups: Iterable[PeerId]) -> None:
        """Cut the network into groups that cannot reach each other; peers in no group form one. No group: heal."""
        self._islands = {peer: number for number, group in enumerate(groups, 1) for peer in group}

    def deliver(
        self, sender: PeerId, receiver: PeerId, arrive: Callable[[SimulatedPeer], None], wait: float = 0.0
    ) -> None:
        """Let something arrive after its delay, unless it is lost or cut off then."""
        self.deliver_all(sender, (receiver,), arrive, wait)

    def deliver_all(
        self, sender: PeerId, receivers: Sequence[PeerId], arrive: Callable[[SimulatedPeer], None], wait: float = 0.0
    ) -> None:
        """Let the same thing arrive at several peers: one event if chance has no say in it, else one for each."""
        conditions, start = self.conditions, self.now + wait
        if conditions.fixed:
            self._deliver_at(start + conditions.delay[0], sender, receivers, arrive)
            return
        for receiver in receivers:
            if self.random.random() >= conditions.loss:
                self._deliver_at(start + self.random.uniform(*conditions.delay), sender, (receiver,), arrive)

    def _deliver_at(
        self, when: float, sender: PeerId, receivers: Sequence[PeerId], arrive: Callable[[SimulatedPeer], None]
    ) -> None:
        """Add to the event that was planned last if it is at the same time: nothing can happen between the two."""
        last = self._last
        if last is None or last.when != when:
            last = _Deliveries(self, when)
            self.at(when, last)
            self._last = last
        last.planned.append((sender, receivers, arrive))

    def connects(self, sender: PeerId, receiver: PeerId) -> bool:
        """Whether no partition lies between the two."""
        islands = self._islands
        return not islands or islands.get(sender, 0) == islands.get(receiver, 0)

    def run(self, *, until: float = math.inf, done: Callable[[], bool] = lambda: False) -> None:
        """Let events happen in order until `done`, the time `until`, or until there are none."""
        while self._events and not done() and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            if event is self._last:
                self._last = None
            event()


class _Deliveries:
    """Things that arrive at one time, in the order in which they were sent."""

    __slots__ = ("_network", "planned", "when")

    def __init__(self, network: Network, when: float) -> None:
        self._network = network
        self.when = when
        self.planned: list[tuple[PeerId, Sequence[PeerId], Callable[[SimulatedPeer], None]]] = []

    def __call__(self) -> None:
        network = self._network
        for sender, receivers, arrive in self.planned:
            for receiver in receivers:
                peer = network.peers.get(receiver)
                if peer is not None and not peer.crashed and network.connects(sender, receiver):
                    arrive(peer)


@dataclass
class SimulatedPeer:
    """One peer in a simulated network: a Session, and the driver that carries out its actions.

    Attributes:
        gradient: (seed, parameters) -> the true gradient of a public seed, float32 of shape (d,).
        parameters: the vector x^t, which each finished step changes by minus the rate times the aggregate.
        compute_seconds: virtual time that computing a gradient takes.
        last_step: after this step the peer rests.
        spoiled: the gradient on the same samples with wrong labels, where the task has labels.
        history: what happened, for tests and reports.
        traffic: bytes sent and received so far.
    """

    network: Network
    key: IdentityKey
    rules: StepRules
    gradient: Callable[[bytes, torch.Tensor], torch.Tensor]
    parameters: torch.Tensor
    behaviour: Behaviour = field(default_factory=Behaviour)
    compute_seconds: float = 0.1
    last_step: int = 0
    candidates: tuple[PeerId, ...] = ()
    crashed: bool = False
    history: list[Finished | Stopped | Voided] = field(default_factory=list)
    learning_rate: float = 1.0
    spoiled: Callable[[bytes, torch.Tensor], torch.Tensor] | None = None
    traffic: Traffic = field(default_factory=Traffic)

    def __post_init__(self) -> None:
        self.session = Session(self.rules, self.key, self.behaviour)
        self.network.peers[self.key.peer_id] = self
        self._vector = torch.empty(0)
        self._request = EncodeParts(0, 1)
        self._watched = math.inf
        self._before = self.parameters

    @property
    def peer_id(self) -> PeerId:
        """The peer's id."""
        return self.key.peer_id

    @property
    def roster(self) -> Roster | None:
        """The roster of the step that the peer is in, or of the next one once a step is finished."""
        return self.history[-1].roster if self.history and isinstance(self.history[-1], Finished) else None

    @property
    def stopped(self) -> Stopped | None:
        """Why the peer stopped, if it did."""
        return next((event for event in self.history if isinstance(event, Stopped)), None)

    def finished(self) -> list[Finished]:
        """Return the steps that the peer has finished."""
        return [event for event in self.history if isinstance(event, Finished)]

    def begin(self, roster: Roster) -> None:
        """Begin a step: compute, then take part."""
        self._vector = torch.empty(0)
        actions = self.session.begin(self.network.now, roster, digest(_bytes(self.parameters)), self.candidates)
        self._perform(actions)

        def computed() -> None:
            if not self.crashed and self.session.roster is roster and self.session.submits:
                self._vector = self._compute(roster)
                if not self.crashed:  # some die while they compute
                    self._encode()

        self.network.at(self.network.now + self.compute_seconds, computed)

    def _compute(self, roster: Roster) -> torch.Tensor:
        """Return what the behaviour makes of the gradient of its batch."""
        step, behaviour = roster.step, self.behaviour
        seed = behaviour.batch_seed(roster, roster.batch_seed(self.peer_id))
        # A batch is a seed here, and whether its labels are spoiled.
        seed, wrong = behaviour.batch(step, (seed, False), lambda batch: (batch[0], True))
        gradient = self.spoiled if wrong and self.spoiled is not None else self.gradient
        return behaviour.gradient(step, gradient(seed, self.parameters))

    def _encode(self) -> None:
        if len(self._vector):
            rules = self.rules
            parts, digests = encode_parts(self._vector, self._request.count, rules.wire, rules.aggregation)
            self._perform(self.session.parts_ready(self.network.now, self._request.attempt, parts, digests))

    def _perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Send(peers, data, delay):
                    self.traffic.control_sent += len(data) * len(peers)
                    self.network.deliver_all(self.peer_id, peers, methodcaller("receive", self.peer_id, data), delay)
                case SendPart():
                    self._send_part(action.peer, action.envelope, action.payload)
                case EncodeParts():
                    self._request = action
                    self._encode()
                case Examine(target):
                    self._examine(target)
                case AggregateRows() | MeasureRows() | InspectRow() | AggregateAgain():
                    self._work(action)
                case Finished():
                    self.note(action)
                    self._finish(action)
                case Stopped() | Voided():
                    self.note(action)
        self._watch()

    def note(self, event: Finished | Stopped | Voided) -> None:
        """Something has happened to this peer."""
        self.history.append(event)

    def _work(self, action: AggregateRows | MeasureRows | InspectRow | AggregateAgain) -> None:
        session, now, attempt, rules = self.session, self.network.now, action.attempt, self.rules
        match action:
            case AggregateRows():
                result = aggregate_rows(action, rules.wire, rules.aggregation)
                self._perform(session.aggregate_ready(now, attempt, result))
            case MeasureRows():
                self._perform(session.measured(now, attempt, measure_rows(action)))
            case InspectRow(author=author, part=part):
                self._perform(session.inspected(now, attempt, author, part, inspect_row(action)))
            case AggregateAgain(part=part):
                excess = imbalance(action, rules.aggregation)
                self._perform(session.aggregated_again(now, attempt, part, excess))

    def _examine(self, target: PeerId) -> None:
        """Recompute the target's vector of the step before, after the time that computing takes."""
        assert self.session.roster is not None
        step = self.session.roster.step

        def computed() -> None:
            if not self.crashed:
                self._perform(self.session.examined(self.network.now, step, target, self._finding(target)))

        self.network.at(self.network.now + self.compute_seconds, computed)

    def _finding(self, target: PeerId) -> Finding:
        record = self.session.record
        if record is None or target not in record.commits or target not in record.submitters:
            return UNKNOWN
        return examine(record, target, self.gradient(record.roster.batch_seed(target), self._before))

    def _finish(self, result: Finished) -> None:
        self._before = self.parameters
        self.parameters = self.parameters - self.learning_rate * from_wire(result.flat, self.rules.wire)
        reason = self.behaviour.leaves(result.step)
        if reason is not None:
            self.leave(reason)
        elif result.step < self.last_step:
            self.network.at(self.network.now, lambda: None if self.crashed else self.begin(result.roster))

    def leave(self, reason: LeaveReason) -> None:
        """Say goodbye and stop."""
        self._perform(self.session.leave(reason))
        self.crash()

    def crash(self) -> None:
        """Stop without a word."""
        self.crashed = True

    def _send_part(self, receiver: PeerId, header: Envelope, payload: Payload) -> None:
        # The header goes as it is: its bytes and its signature cost more than all else, and have tests of their own.
        length = len(header.body) + HEADER_FRAME
        self.traffic.control_sent += length
        self.traffic.parts_sent += len(payload)

        def arrive(to: SimulatedPeer) -> None:
            to.traffic.control_received += length
            buffer = to.session.accept_part(self.peer_id, header, len(payload))
            if buffer is not None:
                to.traffic.parts_received += len(payload)
                buffer[:] = payload
                to._perform(to.session.on_part(self.network.now, self.peer_id, header, digest(buffer)))

        self.network.deliver(self.peer_id, receiver, arrive)

    def receive(self, sender: PeerId, data: bytes) -> None:
        """A control message arrives."""
        self.traffic.control_received += len(data)
        actions = self.session.on_message(self.network.now, sender, data)
        if actions:
            self._perform(actions)
        else:
            self._watch()

    def _watch(self) -> None:
        """Ask for a tick at the session's deadline, as it stands now."""
        deadline = self.session.deadline
        if deadline != self._watched and deadline < math.inf and not self.crashed:
            self._watched = deadline
            self.network.at(deadline, lambda: self._tick(deadline))

    def _tick(self, deadline: float) -> None:
        if not self.crashed and self.session.deadline == deadline:
            self._perform(self.session.tick(self.network.now))


def _bytes(vector: torch.Tensor) -> memoryview:
    return memoryview(vector.numpy()).cast("B")  # type: ignore[arg-type]
