"""A peer of a pipeline: takes the seat that the coordinator gives it, computes its stage, keeps states of others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from btard.hashing import Payload
from btard.identity import IdentityKey, Malformed, PeerId
from btard.pipeline.live.build import StageBuilder
from btard.pipeline.live.driver import StageDriver
from btard.pipeline.live.gate import NOTE_MARK, StageGate, header_of
from btard.pipeline.live.keeping import StateKeeper
from btard.pipeline.live.proofs import ProofFolder
from btard.pipeline.live.states import StoredState
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.plan import SendStage, StageBanned, StageEffect, StageReport, StageStalled
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
from btard.pipeline.seats.report import StepReport
from btard.pipeline.seats.seating import DRAWN, Seating
from btard.pipeline.seats.stage_state import KeptWorker
from btard.pipeline.seats.statements import MAX_REPORTS, StateClaim
from btard.pipeline.seats.usher import Errand
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


@dataclass
class _Tally:
    """What a step of the own stage has taken so far."""

    began_at: float = field(default_factory=time.monotonic)
    sent_bytes: int = 0
    received_bytes: int = 0


class LivePeer:
    """One peer, from its first seat to the end of the run. Use from one event loop.

    Args:
        key: the peer's.
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
        coordinator: PeerId,
        builder: StageBuilder,
        transport: Libp2pTransport,
        reception: Reception,
        directory: Path,
        events: EventLog[PeerEvent],
    ) -> None:
        manifest = builder.manifest
        self._key, self._coordinator, self._builder, self._transport = key, coordinator, builder, transport
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
        )
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="stage")
        self._driver: StageDriver | None = None
        self._sitting: asyncio.Task[None] | None = None
        self._work: set[asyncio.Task[None]] = set()
        self._over: asyncio.Future[None] | None = None
        self._sent = 0
        self._tally = _Tally()
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
        self._work.add(ticking)
        try:
            await asyncio.wait({self._over, ticking}, return_when=asyncio.FIRST_COMPLETED)
            if ticking.done():
                ticking.result()
            return ExitCode.BANNED if self._is_banned else ExitCode.FINISHED
        finally:
            await self._end()

    async def _end(self) -> None:
        tasks = [*self._work, *([] if self._sitting is None else [self._sitting])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
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
                case LoadStage(seating, stage):
                    self._take_seat(seating, stage)
                case BeginStep(_, step):
                    assert self._driver is not None
                    self._tally = _Tally()
                    self._driver.begin(step)
                case MakeState(number, step):
                    self._start(self._make_state(number, step))
                case KeepState(claim, owner):
                    self._start(self._keep_state(claim, owner))
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

    def _perform_stage(self, seating: Seating, effects: Sequence[StageEffect]) -> None:
        for effect in effects:
            match effect:
                case SendStage(stages, data):
                    for stage in stages:
                        self._sent += 1
                        self._tally.sent_bytes += len(data)
                        self._transport.send_part(seating.seats[stage], header_of(seating, self._sent), data)
                case StageReport():
                    self._tell_step(seating, effect)
                    self._perform(self._occupant.on_step_over(seating.number, effect.step))
                case StageStalled(step, waiting):
                    logger.warning("step %d stands still: this stage waits in %s", step, waiting)
                    self._perform(self._occupant.on_stalled(seating.number))
                case StageBanned(_, _, peer):
                    self._is_banned |= peer == self._key.peer_id
                    self._start(self._tell_ban(effect))

    async def _tell_ban(self, ban: StageBanned) -> None:
        """Keep the proof of a ban; the coordinator asks for it, and takes the seat away."""
        offence, path = await self._proofs.keep(ban)
        logger.warning("in step %d stage %d, %s, %s; the proof is %s", ban.step, ban.stage, ban.peer, offence, path)
        self._events.write(
            PeerBanned(peer=str(ban.peer), step=ban.step, reason=offence, offence=offence.name, evidence=str(path))
        )

    def _tell_step(self, seating: Seating, report: StageReport) -> None:
        tally, stage = self._tally, self._occupant.stage
        assert stage is not None and self._driver is not None
        seconds, step = round(time.monotonic() - tally.began_at, 4), report.step
        self._events.write(
            StageStepFinished(
                number=seating.number, stage=stage, step=step, loss=report.loss, seconds=seconds, alarm=report.alarm
            )
        )
        checks = 0 if self._driver.machine.duplicate is None else self._builder.terms.micro_batches
        loss = math.nan if report.loss is None else report.loss
        told = StepReport(
            seating.run,
            seating.number,
            stage,
            step,
            seconds,
            loss,
            tally.sent_bytes,
            tally.received_bytes,
            checks,
            report.alarm,
            report.passed_by,
        )
        self._reports.append(told.signed(self._key))

    def _spoken(self, sender: PeerId, data: bytes) -> None:
        if self._driver is None:
            self._gate.release(sender, len(data))
        else:
            self._tally.received_bytes += len(data)
            self._driver.put(sender, data)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled():
            task.result()

    def _take_seat(self, seating: Seating, stage: int | None) -> None:
        """Leave the seat that this peer had, and load the stage of the new one."""
        if stage is None and self._is_banned:
            logger.error("this peer has lost its seat, because it was found to lie")
            self._leave()
            return
        former, self._driver = self._sitting, None
        self._gate.sit(seating)
        for peer, maddrs in seating.directory.addresses.items():
            if peer != self._key.peer_id:
                with contextlib.suppress(DaemonError):
                    self._transport.remember(PeerAddress(peer, maddrs))
        if former is not None:
            former.cancel()
        self._sitting = asyncio.ensure_future(self._sit(seating, stage, former))
        self._sitting.add_done_callback(_tell_failure)

    async def _sit(self, seating: Seating, stage: int | None, former: asyncio.Task[None] | None) -> None:
        """Run the own stage until another seating comes."""
        if former is not None:
            await asyncio.gather(former, return_exceptions=True)
        before = self._keeper.fetched_bytes
        machine = None if stage is None else await self._load(seating, stage)
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
        if machine is not None:
            perform = partial(self._perform_stage, seating)
            self._driver = driver = StageDriver(machine, self._worker, perform, self._gate.release)
            self._perform(self._occupant.on_loaded(seating.number))
            try:
                await driver.run()
            finally:
                machine.context.channels.close()

    async def _load(self, seating: Seating, stage: int) -> StageMachine:
        """Return the own stage with the states that the seating names, fetched from others where they are not here."""
        states: dict[int, Payload | None] = {}
        for number in self._builder.held_by(stage):
            wanted = seating.states[number]
            states[number] = None if wanted == DRAWN else await self._keeper.get(seating, number)
        build = partial(self._builder.machine, seating, self._key, stage, states)
        return await asyncio.get_running_loop().run_in_executor(self._worker, build)

    async def _make_state(self, number: int, step: int) -> None:
        driver, stage = self._driver, self._occupant.stage
        if driver is None or stage is None:
            return
        worker = driver.machine.worker
        assert isinstance(worker, KeptWorker)

        def make() -> StoredState:
            return StoredState.of(stage, step, worker.state_bytes())

        state = await asyncio.get_running_loop().run_in_executor(self._worker, make)
        self._keeper.shelf.put(state)
        self._perform(self._occupant.on_made(number, step, state.digest))

    async def _keep_state(self, claim: StateClaim, owner: PeerId) -> None:
        if await self._keeper.fetch(claim.stage, claim.step, claim.state, [owner]):
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
                return self._occupant.stance(self._keeper.shelf.digests, self._reports, self._proofs.shown).encode()
            case Want.STATE:
                return self._keeper.shelf.outline(question.known) or self._proofs.outline(question.known)
            case Want.CHUNK:
                shelf, proofs = self._keeper.shelf, self._proofs
                return shelf.chunk(question.known, question.chunk) or proofs.chunk(question.known, question.chunk)
        return None

    def _run_errand(self, question: Question) -> None:
        """Keep the state that the coordinator names, while this peer has no seat."""
        seating = self._occupant.seating
        if seating is None or self._occupant.stage is not None or not question.known:
            return
        try:
            errand = Errand(question.chunk, question.step, bytes.fromhex(question.known))
        except ValueError:
            return
        self._start(self._keeper.run_errand(seating, errand))


def _is_large(data: bytes) -> bool:
    """Whether these bytes ask for a chunk of a state; what else is asked here is small, and made already."""
    try:
        return Question.decode(data).want is Want.CHUNK
    except Malformed:
        return False


def _tell_failure(task: asyncio.Task[None]) -> None:
    """Tell why a stage could not be loaded; the coordinator gives its seat to another peer in time."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("this peer cannot run its stage: %s", error)
