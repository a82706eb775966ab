"""Peers of a pipeline and their coordinator on a virtual clock: what is sent takes time, a killed peer is silent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from btard.hashing import digest
from btard.identity import IdentityKey, PeerId
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.plan import PipelinePlan, SendStage, StageEffect, StageReport, StageStalled
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.seats.occupant import (
    BeginStep,
    ForgetStates,
    KeepingPlan,
    KeepState,
    LeaveRun,
    LoadStage,
    MakeState,
    Occupant,
    SeatEffect,
    TellPeers,
)
from btard.pipeline.seats.seating import DRAWN, Seating
from btard.pipeline.seats.stage_state import KeptWorker
from btard.pipeline.seats.usher import Usher, UsherPlan
from btard.pipeline.stages.model_stage import Cut, ModelStage
from btard.pipeline.stages.split import Split
from btard.tasks.base import Batch, Schedule
from btard.transport.virtual import Network, NetworkConditions
from tests.pipeline.tiny import SEQUENCE, tiny_batch, tiny_config, tiny_state

OPTIMIZER = OptimizerPlan(OptimizerKind.ADAMW, Schedule(1e-2, 1, 50), max_grad_norm=0.05)
RUN = bytes(range(16))
COORDINATOR = IdentityKey.from_seed(bytes([200]) * 32)
POLL_SECONDS, FETCH_SECONDS, STEP_SECONDS = 0.5, 0.3, 20.0


def batches(step: int) -> list[Batch]:
    return [tiny_batch("gpt2", 100 * step + number) for number in range(2)]


@dataclass
class World:
    """Everything that happens in a test."""

    cut: Cut
    steps: int
    network: Network
    usher: Usher
    checked: bool = False
    peers: list[Peer] = field(default_factory=list)
    losses: dict[int, float] = field(default_factory=dict)
    seatings: list[Seating] = field(default_factory=list)
    on_poll: Callable[[], None] = lambda: None

    @classmethod
    def of(cls, peers: int, split: str, steps: int, *, checked: bool = False, loss: float = 0.0) -> World:
        blocks = Split.parse(split)
        cut = Cut(tiny_config("gpt2", blocks=sum(blocks.blocks)), blocks)
        network = Network(1, NetworkConditions(delay=(0.001, 0.05), loss=loss))
        world = cls(cut, steps, network, Usher(UsherPlan(RUN, blocks.stages, silent_seconds=3.0)), checked)
        for number in range(peers):
            world.add(number)
        network.at(0.0, world.poll)
        return world

    def add(self, number: int) -> Peer:
        key = IdentityKey.from_seed(bytes([number + 1]) * 32)
        peer = Peer(self, Occupant(KeepingPlan(RUN, COORDINATOR.peer_id, self.steps), key))
        self.peers.append(peer)
        self.network.peers[key.peer_id] = peer
        self.network.at(self.network.now, peer.tick)
        return peer

    def poll(self) -> None:
        now, usher = self.network.now, self.usher
        here = {peer.peer_id: ("/ip4/127.0.0.1/tcp/1",) for peer in self.peers if not peer.crashed}
        for peer in self.peers:
            if not peer.crashed:
                usher.hear(now, peer.peer_id, peer.occupant.stance([*peer.states]))
        idle = [peer for peer in self.peers if not peer.crashed and peer.occupant.seat is None]
        for place, peer in enumerate(idle):
            if (errand := usher.errand(place)) is not None:
                peer.fetch(errand.state, lambda: None)
        self.on_poll()
        seating = usher.look(now, here)
        if usher.is_finished(now):
            seating = usher.end(now)
        if seating is not None:
            self.seatings.append(seating)
        if usher.seating is not None:
            data = usher.seating.sign(COORDINATOR)
            for peer in self.peers:
                self.network.deliver(COORDINATOR.peer_id, peer.peer_id, lambda host: host.seated(data))
        self.network.at(now + POLL_SECONDS, self.poll)

    def run(self) -> None:
        self.network.run(until=2000.0, done=lambda: self.usher.seating is not None and self.usher.seating.over)
        assert self.usher.seating is not None and self.usher.seating.over, "the run has not ended"

    def occupant_of(self, stage: int) -> Peer:
        assert self.usher.seating is not None
        return next(peer for peer in self.peers if peer.peer_id == self.usher.seating.seats[stage])


@dataclass
class Peer:
    """One peer, as its process would be."""

    world: World
    occupant: Occupant
    crashed: bool = False
    touched: bool = False
    mute: bool = False
    machine: StageMachine | None = None
    states: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    _early: list[tuple[PeerId, bytes]] = field(default_factory=list)
    _watched: float = math.inf

    @property
    def peer_id(self) -> PeerId:
        return self.occupant.key.peer_id

    def watch(self) -> None:
        machine = self.machine
        if machine is not None and machine.deadline not in (self._watched, math.inf):
            self._watched = machine.deadline
            self.world.network.at(machine.deadline, lambda: self.tick_machine(machine))

    def tick_machine(self, machine: StageMachine) -> None:
        if self.machine is machine and not self.crashed:
            self.perform_stage(machine.tick(self.world.network.now))

    def tick(self) -> None:
        if not self.crashed:
            self.perform(self.occupant.tick())
            self.world.network.at(self.world.network.now + 1.0, self.tick)

    def seated(self, data: bytes) -> None:
        self.perform(self.occupant.on_seating(data))

    def noted(self, sender: PeerId, data: bytes) -> None:
        self.perform(self.occupant.on_note(sender, data))

    def spoken(self, sender: PeerId, data: bytes) -> None:
        if self.machine is None or self.occupant.phase.name in ("LOADING", "READY"):
            self._early.append((sender, data))
        else:
            self.perform_stage(self.machine.on_message(sender, data))

    def perform(self, effects: Sequence[SeatEffect]) -> None:
        for effect in effects:
            match effect:
                case LoadStage(seating, stage):
                    self.machine, self._early = None, []
                    if stage is not None:
                        self.load(seating, stage)
                case BeginStep(_, step):
                    assert self.machine is not None
                    self.perform_stage(self.machine.begin(self.world.network.now, step))
                    early, self._early = self._early, []
                    for sender, data in early:
                        self.perform_stage(self.machine.on_message(sender, data))
                case MakeState(number, step):
                    assert self.machine is not None and isinstance(self.machine.worker, KeptWorker)
                    data = self.machine.worker.state_bytes()
                    self.states[digest(data)] = (step, data)
                    self.perform(self.occupant.on_made(number, step, digest(data)))
                case KeepState(claim):
                    self.fetch(claim.state, lambda claim=claim: self.perform(self.occupant.on_kept(claim)))
                case ForgetStates(before):
                    self.states = {state: kept for state, kept in self.states.items() if kept[0] >= before}
                case TellPeers(peers, note):
                    told = note.encode()
                    self.send(peers, lambda host, data=told: host.noted(self.peer_id, data))
                case LeaveRun():
                    pass

    def perform_stage(self, effects: Sequence[StageEffect]) -> None:
        seating = self.occupant.seating
        assert seating is not None
        for effect in effects:
            match effect:
                case SendStage(stages, data):
                    receivers = [seating.seats[stage] for stage in stages]
                    if not self.mute:
                        self.send(receivers, lambda host, data=data: host.spoken(self.peer_id, data))
                case StageReport(step, loss):
                    if loss is not None:
                        self.world.losses[step] = loss
                    self.perform(self.occupant.on_step_over(seating.number, step))
                case StageStalled():
                    self.perform(self.occupant.on_stalled(seating.number))
        self.world.network.touch(self)

    def send(self, peers: Sequence[PeerId], arrive) -> None:
        self.world.network.deliver_all(self.peer_id, peers, arrive)

    def load(self, seating: Seating, stage: int) -> None:
        wanted = {stage: seating.states[stage]}
        if self.world.checked and stage >= 2:
            wanted[stage - 1] = seating.states[stage - 1]
        missing = [state for state in wanted.values() if state != DRAWN and state not in self.states]
        if missing:
            self.fetch(missing[0], lambda: self.load(seating, stage) if self.occupant.seating is seating else None)
            return
        workers = {}
        for number, state in wanted.items():
            worker = KeptWorker(ModelStage(self.world.cut, number, tiny_state(self.world.cut.config)), OPTIMIZER)
            if state != DRAWN:
                worker.load_bytes(self.states[state][1])
            workers[number] = worker
        plan = PipelinePlan(
            seating.messages_run,
            seating.seats,
            PipelineOrder.ONE_FORWARD_ONE_BACKWARD,
            (2, SEQUENCE, int(self.world.cut.config.hidden_size)),
            2,
            batches,
            checked=self.world.checked,
            step_seconds=STEP_SECONDS,
        )
        self.machine = StageMachine(plan, self.occupant.key, workers[stage], workers.get(stage - 1))
        self.perform(self.occupant.on_loaded(seating.number))

    def fetch(self, state: bytes, then: Callable[[], None]) -> None:
        def look() -> None:
            sources = [peer for peer in self.world.peers if not peer.crashed and state in peer.states]
            if self.crashed:
                return
            if sources:
                self.states[state] = sources[0].states[state]
                then()
            elif any(state == kept for kept in (*self._wanted(), *self._fetched())):
                self.world.network.at(self.world.network.now + FETCH_SECONDS, look)

        self.world.network.at(self.world.network.now + FETCH_SECONDS, look)

    def _wanted(self) -> tuple[bytes, ...]:
        return () if self.occupant.seating is None else self.occupant.seating.states

    def _fetched(self) -> list[bytes]:
        return [claim.state for claim in self.occupant._fetching.values()]
