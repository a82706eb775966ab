"""A peer of a pipeline: takes the seat that the coordinator gives it, computes its stage, keeps states of others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from btard.behaviour import Behaviour
from btard.hashing import Payload
from btard.identity import IdentityKey, Malformed, PeerId
from btard.pipeline.live.background import Background
from btard.pipeline.live.build import StageBuilder
from btard.pipeline.live.driver import Look
from btard.pipeline.live.gate import NOTE_MARK, StageGate
from btard.pipeline.live.held.keeping import StateKeeper
from btard.pipeline.live.held.states import StoredState
from btard.pipeline.live.proofs import ProofFolder
from btard.pipeline.live.rounds import ReplicaRounds
from btard.pipeline.live.sitting import Sitting
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.plan import StageBanned, StageReport, StageStalled
from btard.pipeline.replicas.machine import as_replica
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
from btard.pipeline.seats.statements import MAX_REPORTS, Stance, StateClaim
from btard.pipeline.seats.usher import Errand
from btard.round.actions import Verdict
from btard.round.attempt.pace import Pace
from btard.round.evidence.file import to_json
from btard.swarm.door.reception import Reception
from btard.swarm.events.log import EventLog
from btard.swarm.events.peer import PeerBanned, PeerEvent, StageStepFinished, StageTaken
from btard.swarm.questions import FOR_NEWCOMERS, Question, Want
from btard.transport.base import PeerAddress
from btard.transport.libp2p import DaemonError, Libp2pTransport
from btard.vocabulary import ExitCode

logger = logging.getLogger("btard.peer")

BANS_FOLDER = "bans"
"""Proofs of bans, in the directory of a peer."""

TICK_SECONDS = 1.0
"""Seconds between two looks at what others may have missed."""


class LivePeer:
    """One peer, from its first seat to the end of the run. Use from one event loop.

    Args:
        key: the peer's.
        behaviour: in the rounds of its stage's replicas.
        coordinator: the peer that signs seatings.
        builder: makes stages.
        transport: of the peer's node, which this takes over.
        reception: answers newcomers and the coordinator about the manifest.
        directory: where states arrive, and the proofs of bans are written.
        events: the peer's log.
    """

    def __init__(
        self,
        key: IdentityKey,
        behaviour: Behaviour,
        coordinator: PeerId,
        builder: StageBuilder,
        transport: Libp2pTransport,
        reception: Reception,
        directory: Path,
        events: EventLog[PeerEvent],
    ) -> None:
        manifest = builder.manifest
        self._key, self._behaviour, self._coordinator = key, behaviour, coordinator
        self._builder, self._transport = builder, transport
        self._reception, self._events = reception, events
        plan = KeepingPlan(manifest.run, coordinator, manifest.total_steps, builder.terms.keep_every)
        self._occupant = Occupant(plan, key)
        self._keeper = StateKeeper(transport, coordinator, directory, builder.most_state_bytes)
        self._proofs = ProofFolder(directory / BANS_FOLDER)
        self._is_banned = False
        self._gate = StageGate(
            coordinator,
            builder.most_message_bytes,
            builder.most_pending_bytes,
            seated=lambda data: self._perform(self._occupant.on_seating(data)),
            noted=lambda sender, data: self._perform(self._occupant.on_note(sender, data)),
            spoken=self._spoken,
            told=self._told,
        )
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="stage")
        self._sitting: Sitting | None = None
        self._pace: Pace | None = None
        self._seat_task: asyncio.Task[None] | None = None
        self._background = Background()
        self._over: asyncio.Future[None] | None = None
        self._reports: deque[bytes] = deque(maxlen=MAX_REPORTS)

    async def run(self) -> int:
        """Take part until the run is over, and return the exit code; cancel to leave before."""
        transport = self._transport
        transport.attach(self._gate)
        transport.serve_with(self._answer, _is_large)
        transport.is_member = self._is_member
        transport.let_wait(self._builder.most_waiting, self._builder.terms.step_seconds)
        self._over = asyncio.get_running_loop().create_future()
        ticking = asyncio.ensure_future(self._tick())
        try:
            await asyncio.wait({self._over, ticking}, return_when=asyncio.FIRST_COMPLETED)
            if ticking.done():
                ticking.result()
            return ExitCode.BANNED if self._is_banned else ExitCode.FINISHED
        finally:
            await self._end(ticking)

    async def _end(self, ticking: asyncio.Task[None]) -> None:
        own = [ticking, *([] if self._seat_task is None else [self._seat_task])]
        for task in own:
            task.cancel()
        await asyncio.gather(*own, *self._background.cancel(), return_exceptions=True)
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _is_member(self, peer: PeerId) -> bool:
        if peer == self._coordinator or self._occupant.seating is None:
            return peer == self._coordinator
        seating = self._occupant.seating
        return peer in seating.seats or peer in seating.directory.addresses

    async def _tick(self) -> None:
        while True:
            self._perform(self._occupant.tick())
            await asyncio.sleep(TICK_SECONDS)

    def _perform(self, effects: Iterable[SeatEffect]) -> None:
        for effect in effects:
            match effect:
                case LoadStage(seating, seat):
                    self._take_seat(seating, seat)
                case BeginStep(_, step):
                    assert self._sitting is not None
                    self._sitting.begin(step)
                case MakeState(number, step):
                    self._background.start(self._make_state(number, step))
                case KeepState(claim, owner):
                    self._background.start(self._keep_state(claim, owner))
                case ForgetStates(before):
                    self._keeper.shelf.forget(before)
                case TellPeers(peers, note):
                    for peer in peers:
                        self._transport.send(peer, NOTE_MARK + note.encode())
                case LeaveRun():
                    self._leave()

    def _leave(self) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def _hear(self, seating: Seating, event: StageReport | StageStalled | StageBanned) -> None:
        """Something has happened to the own stage."""
        match event:
            case StageReport(step):
                self._tell_step(event)
                self._perform(self._occupant.on_step_over(seating.number, step))
            case StageStalled(step, waiting):
                logger.warning("step %d stands still: this stage waits in %s", step, waiting)
                self._perform(self._occupant.on_stalled(seating.number))
            case StageBanned(_, _, peer, evidence):
                self._background.start(self._tell_ban(peer, evidence))

    async def _tell_ban(self, peer: PeerId, evidence: bytes) -> None:
        """Keep the proof of a ban; the coordinator asks for it, and takes the seat away."""
        self._is_banned |= peer == self._key.peer_id
        proof, path = await self._proofs.keep(evidence)
        offence, step = proof.offence, proof.step
        logger.warning("in step %d stage %d, %s, %s; the proof is %s", step, proof.stage, peer, offence, path)
        self._events.write(
            PeerBanned(peer=str(peer), step=step, reason=offence, offence=offence.name, evidence=str(path))
        )

    def _tell_step(self, report: StageReport) -> None:
        sitting = self._sitting
        assert sitting is not None
        told = sitting.report(report)
        self._events.write(
            StageStepFinished(
                number=told.number,
                stage=sitting.machine.number,
                step=told.step,
                loss=report.loss,
                seconds=told.seconds,
                alarm=told.alarm,
            )
        )
        self._reports.append(told.signed(self._key))

    def _spoken(self, sender: PeerId, data: bytes) -> None:
        self._look_at(sender, data, lambda machine: machine.on_message(sender, data))

    def _told(self, sender: PeerId, data: bytes) -> None:
        self._look_at(sender, data, lambda machine: as_replica(machine).hear(sender, data))

    def _look_at(self, sender: PeerId, data: bytes, look: Look) -> None:
        if self._sitting is None:
            self._gate.release(sender, len(data))
        else:
            self._sitting.look_at(sender, len(data), look)

    def _take_seat(self, seating: Seating, seat: int | None) -> None:
        """Leave the seat that this peer had, and load the stage of the new one."""
        if seat is None and self._is_banned:
            logger.error("this peer has lost its seat, because it was found to lie")
            self._leave()
            return
        former, self._sitting = self._seat_task, None
        self._gate.sit(seating)
        for peer, maddrs in seating.directory.addresses.items():
            if peer != self._key.peer_id:
                with contextlib.suppress(DaemonError):
                    self._transport.remember(PeerAddress(peer, maddrs))
        if former is not None:
            former.cancel()
        self._seat_task = asyncio.ensure_future(self._sit(seating, seat, former))
        self._seat_task.add_done_callback(_tell_failure)

    async def _sit(self, seating: Seating, seat: int | None, former: asyncio.Task[None] | None) -> None:
        """Run the own stage until another seating comes."""
        if former is not None:
            await asyncio.gather(former, return_exceptions=True)
        before, stage = self._keeper.fetched_bytes, None if seat is None else seating.stage_of(seat)
        machine = None if seat is None else await self._load(seating, seat)
        logger.info(
            "seating %d: %s, from step %d",
            seating.number,
            "this peer waits for a seat" if stage is None else f"this peer runs stage {stage}",
            seating.step,
        )
        self._events.write(
            StageTaken(
                peer=str(self._key.peer_id),
                number=seating.number,
                stage=stage,
                step=seating.step,
                fetched=self._keeper.fetched_bytes - before,
            )
        )
        if seat is not None and machine is not None:
            rounds = self._rounds_of(seating, machine)
            transport, worker, looked = self._transport, self._worker, self._gate.release
            self._sitting = sitting = Sitting(seating, seat, machine, rounds, transport, worker, looked, self._hear)
            self._gate.rounds = None if rounds is None else rounds.driver
            self._perform(self._occupant.on_loaded(seating.number))
            await sitting.run()

    def _rounds_of(self, seating: Seating, machine: StageMachine) -> ReplicaRounds | None:
        """Return the rounds that the replicas of the own stage average in; None where there are no others."""
        if seating.replicas == 1:
            return None

        def banned(verdict: Verdict) -> None:
            self._background.start(self._tell_ban(verdict.peer, to_json(verdict.evidence)))

        rules, before = self._builder.rules(seating, machine.number), self._pace
        # Without a measure the deadline of a stage decides, and a liar among new neighbours could hold all up so long.
        self._pace = pace = Pace(rules.delay_bound_seconds, rules.patience) if before is None else before.anew()
        return ReplicaRounds(
            seating,
            rules,
            self._key,
            self._behaviour,
            as_replica(machine),
            self._transport,
            self._worker,
            self._builder.most_record_bytes,
            banned,
            pace,
        )

    async def _load(self, seating: Seating, seat: int) -> StageMachine:
        """Return the own stage with the states that the seating names, fetched from others where they are not here."""
        states: dict[int, Payload | None] = {}
        for number in self._builder.held_by(seating.stage_of(seat)):
            wanted = seating.states[number]
            states[number] = None if wanted == DRAWN else await self._keeper.get(seating, number)
        build = partial(self._builder.machine, seating, self._key, seat, states)
        return await asyncio.get_running_loop().run_in_executor(self._worker, build)

    async def _make_state(self, number: int, step: int) -> None:
        if self._sitting is None:
            return
        worker, stage = self._sitting.machine.worker, self._sitting.machine.number
        assert isinstance(worker, KeptWorker)

        def make() -> StoredState:
            return StoredState.of(stage, step, worker.state_bytes())

        state = await asyncio.get_running_loop().run_in_executor(self._worker, make)
        self._keeper.shelf.put(state)
        self._perform(self._occupant.on_made(number, step, state.digest))

    async def _keep_state(self, claim: StateClaim, owner: PeerId) -> None:
        seating = self._occupant.seating
        assert seating is not None
        if await self._keeper.fetch(seating.stage_of(claim.seat), claim.step, claim.state, [owner]):
            self._perform(self._occupant.on_kept(claim))
        else:
            self._perform(self._occupant.on_unkept(claim))

    async def _answer(self, sender: PeerId, data: bytes) -> Payload | None:
        """Answer a question, or None to refuse."""
        try:
            question = Question.decode(data)
        except Malformed:
            return None
        if question.want in FOR_NEWCOMERS:
            return await self._reception.answer(sender, question)
        match question.want:
            case Want.STANCE if sender == self._coordinator:
                self._run_errand(question)
                return self._stance().encode()
            case Want.STATE:
                return self._keeper.shelf.outline(question.known) or self._proofs.outline(question.known)
            case Want.CHUNK:
                shelf, proofs = self._keeper.shelf, self._proofs
                return shelf.chunk(question.known, question.chunk) or proofs.chunk(question.known, question.chunk)
            case _ if self._sitting is not None and self._sitting.rounds is not None:
                return await self._sitting.rounds.answer(sender, question)
        return None

    def _stance(self) -> Stance:
        """Return where this peer stands, as the coordinator is told."""
        rounds = None if self._sitting is None else self._sitting.rounds
        left_out = () if rounds is None else rounds.left_out
        return self._occupant.stance(self._keeper.shelf.digests, self._reports, self._proofs.shown, left_out)

    def _run_errand(self, question: Question) -> None:
        """Keep the state that the coordinator names, while this peer has no seat."""
        seating = self._occupant.seating
        if seating is None or self._occupant.seat is not None or not question.known:
            return
        try:
            errand = Errand(question.chunk, question.step, bytes.fromhex(question.known))
        except ValueError:
            return
        self._background.start(self._keeper.run_errand(seating, errand))


def _is_large(data: bytes) -> bool:
    """Whether these bytes ask for a chunk of a state, or for what a replica shows of a step.

    What else is asked here is small, and made already.
    """
    try:
        return Question.decode(data).want in (Want.CHUNK, Want.BASE, Want.VECTOR)
    except Malformed:
        return False


def _tell_failure(task: asyncio.Task[None]) -> None:
    """Tell why a stage could not be loaded; the coordinator gives its seat to another peer in time."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("this peer cannot run its stage: %s", error)
