"""Simulated peers: each drives the same `Session` as on the real network, over the network of `virtual`."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from operator import methodcaller
from typing import Any, ClassVar, TypeVar

import torch

from btard.behaviour import Behaviour
from btard.executor import Executor
from btard.exhibits import Exhibit, Fits, Relaying
from btard.hashing import Payload, digest
from btard.identity import Envelope, IdentityKey, Malformed, PeerId
from btard.round.actions import (
    Action,
    CheckOpening,
    ComputeGradient,
    Examine,
    Finished,
    Recall,
    Send,
    SendPart,
    Stopped,
    Voided,
    Work,
)
from btard.round.messages.bodies import Candidates, LeaveReason
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.round.session import Session
from btard.round.work.execute import execute
from btard.transport.vector_trainer import VectorTrainer
from btard.transport.virtual import Network, NetworkConditions
from btard.vectors.partition import from_wire

__all__ = ["Network", "NetworkConditions", "SimulatedPeer", "Traffic"]

T = TypeVar("T")

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

    Subclasses may override what has no underscore: `perform`, `work`, `send_part`, `receive`, `note`, `finish`.

    Attributes:
        executor_type: of the executor that the peer makes.
        trainer: holds x^t.
        compute_seconds: virtual time that computing a gradient takes.
        last_step: after this step the peer rests.
        history: what happened, for tests and reports.
        traffic: bytes sent and received so far.
        executor: does what the session asks for.
    """

    executor_type: ClassVar[type[Executor]] = Executor

    network: Network
    key: IdentityKey
    rules: StepRules
    trainer: VectorTrainer
    behaviour: Behaviour = field(default_factory=Behaviour)
    compute_seconds: float = 0.1
    last_step: int = 0
    candidates: tuple[PeerId, ...] = ()
    clients: tuple[PeerId, ...] = ()
    crashed: bool = False
    history: list[Finished | Stopped | Voided] = field(default_factory=list)
    traffic: Traffic = field(default_factory=Traffic)

    def __post_init__(self) -> None:
        self.session = Session(self.rules, self.key, self.behaviour)
        self.executor = self.executor_type(self.rules, self.peer_id, self.behaviour, self.trainer, self, _run_here)
        self.behaviour.die = self.crash  # not the process of the whole swarm
        self.network.peers[self.key.peer_id] = self
        self._watched = math.inf
        self._state: bytes | None = None
        self.touched = False

    @property
    def peer_id(self) -> PeerId:
        """The peer's id."""
        return self.key.peer_id

    @property
    def parameters(self) -> torch.Tensor:
        """The vector x^t, which each finished step changes."""
        return self.trainer.parameters

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
        if self._state is None:
            self._state = at_once(self.trainer.digest())
        named = Candidates(self.candidates, tuple(peer for peer in self.candidates if peer in self.clients))
        self.perform(self.session.begin(self.network.now, roster, self._state, named))

    def honest_vector(self, roster: Roster) -> torch.Tensor:
        """Return what this peer has to submit in a step, float32 of shape (d,)."""
        return self.trainer.honest(roster.batch_seed(self.peer_id), roster.step)

    def take_over(self, state: bytes, step: int) -> None:
        """Go on from another peer's state before a step; see `Trainer.load`."""
        self._state = at_once(self.trainer.load(state, step))

    def perform(self, actions: Sequence[Action]) -> None:
        """Carry out what the session asks for."""
        for action in actions:
            match action:
                case Send(peers, data, delay):
                    self.traffic.control_sent += len(data) * len(peers)
                    arrive = methodcaller("receive", self.peer_id, data)
                    self.network.deliver_all(self.peer_id, peers, arrive, delay, len(data))
                case SendPart():
                    self.send_part(action.peer, action.envelope, action.payload)
                case ComputeGradient() | Examine() | Recall() | CheckOpening():
                    self._work_later(action)
                case Finished():
                    self.note(action)
                    self.finish(action)
                case Stopped() | Voided():
                    self.note(action)
                case _:
                    self.work(action)
        self.network.touch(self)

    def note(self, event: Finished | Stopped | Voided) -> None:
        """Something has happened to this peer."""
        self.history.append(event)

    def work(self, work: Work) -> None:
        """Do what the session asks for, and answer."""
        self.perform(self.session.answer(self.network.now, execute(work, self.rules)))

    def _work_later(self, task: ComputeGradient | Examine | Recall | CheckOpening) -> None:
        """Do what takes as long as computing a gradient."""

        self.network.at(self.network.now + self.compute_seconds, partial(self._work_now, task))

    def _work_now(self, task: ComputeGradient | Examine | Recall | CheckOpening) -> None:
        if self.crashed or self.session.roster is None or self.session.roster.step != task.step:
            return
        answer = at_once(self.executor.carry_out(task))
        if not self.crashed:  # some die while they compute
            self.perform(self.session.answer(self.network.now, answer))

    def _reached(self, peer: PeerId) -> SimulatedPeer | None:
        """Return a peer that answers, None for one that cannot be reached."""
        found = self.network.peers.get(peer)
        alive = isinstance(found, SimulatedPeer) and not found.crashed and self.network.connects(self.peer_id, peer)
        return found if alive and isinstance(found, SimulatedPeer) else None

    async def exhibit(
        self, what: Exhibit, target: PeerId, step: int, fits: Fits, accusers: Sequence[PeerId], within_seconds: float
    ) -> bytes | None:
        """See `btard.exhibits.Material`; whatever is shown at all is shown at once."""
        for holder in (target, *accusers):
            peer = self._reached(holder)
            shown = None if peer is None else await peer.shows(self.peer_id, what, target, step)
            if shown is not None and await fits(shown):
                return shown
        return None

    async def shows(self, asker: PeerId, what: Exhibit, target: PeerId, step: int) -> bytes | None:
        """Return what this peer shows another of what a target, itself perhaps, has computed in a step."""
        if target != self.peer_id:
            relaying = Relaying(self.session, lambda: self.network.now)
            return await self.executor.shows(relaying, asker, what, target, step)
        if what is Exhibit.BASE:
            return self.behaviour.shown_momentum(step, asker, self.trainer.momentum_base(step))
        return self.behaviour.shown_vector(step, asker, self.trainer.submitted(step))

    async def commits(
        self, target: PeerId, step: int, holders: Sequence[PeerId], most_bytes: int, within_seconds: float
    ) -> Sequence[bytes]:
        """See `btard.exhibits.Material`."""
        reached = [peer for peer in map(self._reached, holders) if peer is not None]
        return [data for data in (peer.session.commits_of(target, step) for peer in reached) if data is not None]

    async def transcripts(self, step: int, holders: Sequence[PeerId], within_seconds: float) -> Sequence[bytes]:
        """See `btard.exhibits.Material`."""
        reached = [peer for peer in map(self._reached, holders) if peer is not None]
        return [told for told in (peer.transcript_of(step) for peer in reached) if told is not None]

    def transcript_of(self, step: int) -> bytes | None:
        """Return what this peer tells others that look back at a step."""
        return self.session.transcript_of(step)

    def finish(self, result: Finished) -> None:
        """Take the step of an aggregate, and begin the next one."""
        if not result.submitted:
            at_once(self.trainer.withdraw(result.step))
        self._state = at_once(self.trainer.apply(from_wire(result.flat, self.rules.wire)))
        reason = self.behaviour.leaves(result.step, result.roster)
        if reason is not None:
            self.leave(reason)
        elif result.step < self.last_step:
            self.network.at(self.network.now, partial(self._begin_next, result.roster))

    def _begin_next(self, roster: Roster) -> None:
        if not self.crashed:
            self.begin(roster)

    def leave(self, reason: LeaveReason) -> None:
        """Say goodbye and stop."""
        self.perform(self.session.leave(reason))
        self.crash()

    def crash(self) -> None:
        """Stop without a word."""
        self.crashed = True

    def send_part(self, receiver: PeerId, header: Envelope, payload: Payload) -> None:
        """Send a part; its header travels as it is: its bytes and its signature cost more than all else, and have tests
        of their own."""
        frame, size = len(header.body) + HEADER_FRAME, len(payload)
        self.traffic.control_sent += frame
        self.traffic.parts_sent += size
        arrive = methodcaller("receive_part", self.peer_id, header, payload)
        self.network.deliver(self.peer_id, receiver, arrive, size=frame + size)

    def receive_part(self, sender: PeerId, header: Envelope, payload: Payload) -> None:
        """A part arrives, all at once."""
        self.traffic.control_received += len(header.body) + HEADER_FRAME
        buffer = self.session.accept_part(sender, header, len(payload))
        if buffer is not None:
            self.traffic.parts_received += len(payload)
            buffer[:] = payload
            self.session.on_part(sender, header, digest(buffer))
            self.network.touch(self)

    def receive(self, sender: PeerId, data: bytes) -> None:
        """A control message arrives."""
        self.traffic.control_received += len(data)
        self._react(self.session.on_message(self.network.now, sender, _decoded(data) if len(data) <= _SHARED else data))

    def _react(self, actions: list[Action]) -> None:
        if actions:  # most arrivals only fill a place
            self.perform(actions)
        elif not self.touched:
            self.network.touch(self)

    def watch(self) -> None:
        """Act on what has arrived, or ask for a tick at the session's deadline, as it stands now."""
        if self.crashed:
            return
        if self.session.wants_tick:
            self.perform(self.session.tick(self.network.now))
            return
        deadline = self.session.deadline
        if deadline not in (self._watched, math.inf):
            self._watched = deadline
            self.network.at(deadline, partial(self._tick, deadline))

    def _tick(self, deadline: float) -> None:
        if not self.crashed and self.session.deadline == deadline:
            self.perform(self.session.tick(self.network.now))


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


async def _run_here(work: Callable[[], T]) -> T:
    return work()


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run what waits for nothing, and return its result.

    Raises:
        RuntimeError: it waits for something.
    """
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    work.close()
    raise RuntimeError("what a simulated peer does must not wait")
