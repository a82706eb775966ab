"""Simulated peers: each drives the same `Session` as on the real network, over the network of `virtual`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import methodcaller

import torch

from btard.behaviour import Behaviour
from btard.hashing import digest
from btard.identity import Envelope, IdentityKey, Malformed, PeerId
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
from btard.round.attempt.attempt import Attempt
from btard.round.messages.bodies import LeaveReason
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.round.session import Session
from btard.round.vectors.momentum import Momentum, base_from_bytes, submission
from btard.round.vectors.partition import from_wire
from btard.round.vectors.work import (
    UNKNOWN,
    UNSEEN,
    Finding,
    aggregate_rows,
    compare_again,
    continues,
    encode_parts,
    examine,
    inspect_row,
    measure_rows,
)
from btard.transport.base import Payload
from btard.transport.virtual import Network, NetworkConditions

__all__ = ["Network", "NetworkConditions", "SimulatedPeer", "Traffic"]

HEADER_FRAME = 130
"""Bytes of a part's header beside its body: run, step, attempt, kind, author, signature."""


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
        self.touched = False
        self._before = self.parameters
        self._mu = self.rules.verification.momentum
        self._momentum = Momentum(self._mu, self.rules.dimension)

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
        base = self._momentum.base(step)
        base = None if base is None else behaviour.momentum(step, base)
        vector = behaviour.gradient(step, submission(gradient(seed, self.parameters), base, self._mu))
        self._momentum.submitted(step, base, vector)
        return vector

    def honest_vector(self, roster: Roster) -> torch.Tensor:
        """Return what this peer has to submit in a step, float32 of shape (d,)."""
        gradient = self.gradient(roster.batch_seed(self.peer_id), self.parameters)
        return submission(gradient, self._momentum.base(roster.step), self._mu)

    def take_over(self, parameters: torch.Tensor) -> None:
        """Go on from another peer's x^t; the own chain of submissions begins anew."""
        self.parameters = parameters
        self._momentum.reset()

    def _encode(self) -> None:
        if len(self._vector):
            rules = self.rules
            parts, digests = encode_parts(self._vector, self._request.count, rules.wire, rules.aggregation)
            ready = (self._request.attempt, parts, digests, self._momentum.digest)
            self._perform(self.session.parts_ready(self.network.now, *ready))

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
        self.network.touch(self)

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
                row = inspect_row(action, rules.aggregation)
                self._perform(session.inspected(now, attempt, author, part, row))
            case AggregateAgain(part=part):
                excess = compare_again(action, rules.aggregation)
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
        record = self.session.previous
        if record is None or target not in record.said.commits or target not in record.seats.submitters:
            return UNKNOWN
        finding = self._look_at(record, target)
        if finding.accuse or finding.withheld:
            finding = self._look_at(record, target)  # only what can be reproduced is worth an accusation
        return finding

    def _look_at(self, record: Attempt, target: PeerId) -> Finding:
        base = None
        if self._mu > 0:
            base = self._shown_by(target, record.seats.roster.step, record.said.commits[target].momentum)
            link = self.session.links.get(target)
            if base is None:
                return UNSEEN
            if not continues(base, link, self.rules.wire, self.rules.aggregation):
                return UNKNOWN if link is None else UNSEEN
        gradient = self.gradient(record.seats.roster.batch_seed(target), self._before)
        return examine(record, target, submission(gradient, base, self._mu))

    def _shown_by(self, target: PeerId, step: int, promised: bytes) -> torch.Tensor | None:
        """Return the momentum that a peer has committed to, if it can be reached and shows it."""
        peer = self.network.peers.get(target)
        if not isinstance(peer, SimulatedPeer) or peer.crashed or not self.network.connects(self.peer_id, target):
            return None
        data = peer.behaviour.shown_momentum(step, peer._momentum.base_bytes(step))
        try:
            return base_from_bytes(data, self.rules.dimension) if data and digest(data) == promised else None
        except Malformed:
            return None

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
        me, frame, size = self.peer_id, len(header.body) + HEADER_FRAME, len(payload)
        self.traffic.control_sent += frame
        self.traffic.parts_sent += size

        def arrive(to: SimulatedPeer) -> None:
            to.traffic.control_received += frame
            buffer = to.session.accept_part(me, header, size)
            if buffer is not None:
                to.traffic.parts_received += size
                buffer[:] = payload
                to.session.on_part(me, header, digest(buffer))
                to.network.touch(to)

        self.network.deliver(me, receiver, arrive)

    def receive(self, sender: PeerId, data: bytes) -> None:
        """A control message arrives."""
        self.traffic.control_received += len(data)
        self._react(self.session.on_message(self.network.now, sender, _decoded(data) if len(data) <= _SHARED else data))

    def _react(self, actions: list[Action]) -> None:
        if actions:  # most arrivals only fill a place
            self._perform(actions)
        elif not self.touched:
            self.network.touch(self)

    def watch(self) -> None:
        """Act on what has arrived, or ask for a tick at the session's deadline, as it stands now."""
        deadline = self.session.deadline
        if self.crashed or deadline == math.inf:
            return
        if deadline == -math.inf:
            self._perform(self.session.tick(self.network.now))
        elif deadline != self._watched:
            self._watched = deadline
            self.network.at(deadline, lambda: self._tick(deadline))

    def _tick(self, deadline: float) -> None:
        if not self.crashed and self.session.deadline == deadline:
            self._perform(self.session.tick(self.network.now))


_SHARED = 1 << 20
"""Bytes; longer messages are left to each session, so that a flood of them is not remembered."""


@lru_cache(maxsize=1 << 14)
def _decoded(data: bytes) -> bytes | Envelope:
    """Decode once what many receive, or leave to the session what cannot be decoded; holds a step of a thousand peers,
    as no real peer needs to."""
    try:
        return Envelope.decode(data)
    except Malformed:
        return data


def _bytes(vector: torch.Tensor) -> memoryview:
    return memoryview(vector.numpy()).cast("B")  # type: ignore[arg-type]
