"""The training loop: step after step with the roster, and back in after having been left out."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from functools import partial

from btard.behaviour import Behaviour, LeaveReason
from btard.identity import IdentityKey, Malformed, PeerId
from btard.peer.meeting.knocking import Knocker
from btard.peer.meeting.neighbours import Neighbours
from btard.peer.meeting.rosters import Rosters
from btard.peer.progress import Progress
from btard.peer.serving import StateServer
from btard.peer.telemetry.meter import PeerStep
from btard.peer.telemetry.recorder import Recorder
from btard.peer.telemetry.reporting import Reporter
from btard.peer.trainer import TaskTrainer
from btard.round.actions import Finished, OutcomeKind, Stopped, Voided
from btard.round.admission import may_begin
from btard.round.delivery.patience import signs_every
from btard.round.evidence.evidence import Evidence
from btard.round.evidence.file import rules_fingerprint
from btard.round.roster import Roster
from btard.round.work.examination import Finding
from btard.swarm.bans import BanBook, ask_evidence
from btard.swarm.door.door import Door
from btard.swarm.events.log import EventLog
from btard.swarm.events.peer import (
    AttemptVoided,
    JoinedRun,
    LeftRun,
    PeerAdmitted,
    PeerBanned,
    PeerEvent,
    PlaceLost,
    StepFinished,
    StepsDone,
)
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Head, Question, Want
from btard.swarm.records.record import RosterRecord
from btard.swarm.state_sync import ask_heads, download_state, newest_roster, state_digest
from btard.transport.driver import SessionDriver
from btard.transport.libp2p import Libp2pNode
from btard.vectors.partition import from_wire
from btard.vocabulary import ExitCode

logger = logging.getLogger(__name__)

_REJOIN_POLL_SECONDS = 0.5
_LINGER_SECONDS = 120.0
_GOODBYE_SECONDS = 3.0


@dataclass
class TrainingLoop:
    """Everything that a peer needs for training, put together by `daemon`."""

    key: IdentityKey
    coordinator: PeerId
    named: frozenset[PeerId]
    manifest: RunManifest
    node: Libp2pNode
    driver: SessionDriver
    trainer: TaskTrainer
    behaviour: Behaviour
    neighbours: Neighbours
    door: Door
    knocker: Knocker
    rosters: Rosters
    reporter: Reporter
    recorder: Recorder
    server: StateServer
    bans: BanBook
    progress: Progress
    events: EventLog[PeerEvent]
    join_timeout_seconds: float
    _publishing: asyncio.Future[None] | None = None

    async def run(self) -> ExitCode:
        """Train until the run is over, or this peer is banned or alone."""
        # Those that the user named may be members of a run that has begun, or the coordinator that begins it.
        # After a restart this peer looks first: it can tell steps that it has not begun only by having seen them begin.
        if not self.progress.restarted:
            self.knocker.knock_at({self.coordinator, *self.named})
        roster, over = await self.rosters.wait_for_first()
        if over:
            logger.info("the run is over")
            return ExitCode.FINISHED
        await self.neighbours.locate(roster.members, self.manifest.deadlines.settle)
        new = not self.progress.restarted and may_begin(roster, self.key.peer_id, self.progress.step)
        if new and await self._is_beginning(roster):
            state = await self._first_state()
        else:
            entered = await self._enter(roster)
            if isinstance(entered, ExitCode):
                return entered
            roster, state = entered
        self._joined(roster)
        while roster.step < self.manifest.total_steps:
            await self._stand(roster, state)
            self.recorder.begins(roster)
            self.progress.begin(roster.step)
            started = time.perf_counter()
            outcome = await self.driver.run_step(roster, state, self.neighbours.candidates(roster))
            if isinstance(outcome, Stopped):
                self._stopped(outcome)
                self.recorder.stopped(outcome)
                if outcome.kind is OutcomeKind.BANNED:
                    return ExitCode.BANNED
                entered = await self._enter(roster)
                if isinstance(entered, ExitCode):
                    return entered
                roster, state = entered
                self._joined(roster)
                continue
            state = await self._apply(outcome)
            self._finished_step(roster, outcome, state, time.perf_counter() - started)
            reason = self.behaviour.leaves(roster.step, outcome.roster)
            if reason is not None:
                return await self._leave(roster.step, reason)
            roster = outcome.roster
        return await self._end(roster, state)

    async def _is_beginning(self, roster: Roster) -> bool:
        """Whether the run begins now with this peer: it may also have begun, and this peer have been started again."""
        if roster.step != self.manifest.start_step:
            return False
        heads = await ask_heads(self.node.transport, roster.members, timeout_seconds=self.manifest.deadlines.settle)
        newest = newest_roster(roster, heads)
        return newest is None or newest.step == roster.step

    async def _first_state(self) -> bytes:
        """Return the digest of the state that the run starts from; a resumed one is fetched from the coordinator."""
        if self.manifest.state_digest is None:
            return await self.trainer.digest()
        expected = bytes.fromhex(self.manifest.state_digest)
        question = Question(want=Want.STATE, step=self.manifest.start_step)
        while not await self._download([self.coordinator], question, expected):
            logger.warning("waiting for the coordinator to serve the initial state")
            await asyncio.sleep(_REJOIN_POLL_SECONDS)
        return expected

    async def _download(self, sources: list[PeerId], question: Question, expected: bytes) -> bool:
        server = await download_state(
            self.node.transport,
            sources,
            question,
            partial(self.trainer.load, step=question.step),
            expected,
            limit=self.trainer.most_state_bytes,
            timeout_seconds=self.manifest.deadlines.commit,
        )
        if server is not None:
            logger.info("took over the training state before step %d from %s", question.step, server.short)
        return server is not None

    async def _take_over(self, roster: Roster, sources: list[PeerId], digest: bytes) -> bool:
        """Fetch the state of a step that waits for this peer; the others are told that it is at work."""

        async def tell() -> None:
            while True:
                self.driver.tell_at_work(roster)
                await asyncio.sleep(signs_every(self.manifest.step_rules))

        telling = asyncio.ensure_future(tell())
        try:
            return await self._download(sources, Question(want=Want.STATE, step=roster.step), digest)
        finally:
            telling.cancel()

    async def _enter(self, trusted: Roster) -> tuple[Roster, bytes] | ExitCode:
        """Wait until the members count this peer in, then take over the state that most of them hold.

        Args:
            trusted: the last roster known; more than half of it is believed.
        """
        self.neighbours.eager = True
        self.door.close()
        me = self.key.peer_id
        deadline = time.monotonic() + self.join_timeout_seconds
        while True:
            record = await self.rosters.look()
            if record is not None and record.finished:
                logger.info("the run is over")
                return ExitCode.FINISHED
            self.neighbours.stand(trusted.members)
            if not self.progress.restarted:
                self.knocker.knock_at(trusted.members)
            heads = await ask_heads(
                self.node.transport, trusted.members, timeout_seconds=self.manifest.deadlines.settle
            )
            newest = newest_roster(trusted, heads)
            if newest is not None:
                deadline = time.monotonic() + self.join_timeout_seconds
                trusted = newest
                if me in newest.banned:
                    logger.error("this peer's key is banned from the run; it cannot come back")
                    return ExitCode.BANNED
                digest = state_digest(newest, heads, newest.step)
                self.progress.saw(newest.step, member=me in newest.members)
                if may_begin(newest, me, self.progress.step) and digest is not None:
                    await self._verify_bans(newest, heads)
                    sources = [peer for peer, head in heads.items() if head.state == digest]
                    if await self._take_over(newest, sources, digest):
                        self.neighbours.eager = False
                        return newest, digest
            elif record is not None:
                trusted = _later(trusted, record)
            if time.monotonic() > deadline:
                logger.error(
                    "no majority of the roster answers for %.0f s: this peer is cut off, or the run has ended",
                    self.join_timeout_seconds,
                )
                return ExitCode.NO_MAJORITY
            await asyncio.sleep(_REJOIN_POLL_SECONDS)

    async def _stand(self, roster: Roster, state: bytes) -> None:
        if self.manifest.wants_snapshot(roster.step):
            await self.server.keep_snapshot(roster.step)
        self.server.stand(roster, state)
        self.neighbours.stand(roster.members)
        self.door.open(roster.members, roster.banned)

    async def _verify_bans(self, roster: Roster, heads: dict[PeerId, Head]) -> None:
        """Ask the members for the evidence of bans that this peer did not see, and check it."""
        ask = partial(ask_evidence, self.node.transport, timeout_seconds=self.manifest.deadlines.settle)
        verified, unproven = await self.bans.verify_all(ask, roster.banned, heads)
        for evidence, basis in verified:
            logger.info("verified: %s %s; %s", evidence.accused.short, evidence.offence, basis)
            self._tell_ban(evidence)
        for peer in unproven:
            logger.warning("nobody could prove the ban of %s; most of the roster hold it all the same", peer.short)

    async def _apply(self, outcome: Finished) -> bytes:
        if not outcome.submitted:
            await self.trainer.withdraw(outcome.step)
        return await self.trainer.apply(from_wire(outcome.flat, self.manifest.wire))

    def _joined(self, roster: Roster) -> None:
        self.neighbours.eager = False
        self.neighbours.announce_again()
        self.knocker.rest()
        logger.info("joined %s at step %d with %d members", self.manifest.experiment, roster.step, len(roster.members))
        self.events.write(
            JoinedRun(
                peer=str(self.key.peer_id),
                step=roster.step,
                members=tuple(map(str, roster.members)),
                banned=tuple(sorted(map(str, roster.banned))),
                roster=roster.digest.hex(),
                rules=rules_fingerprint(self.manifest.step_rules),
            )
        )

    def _finished_step(self, roster: Roster, outcome: Finished, state: bytes, seconds: float) -> None:
        step = roster.step
        target = roster.validators.get(self.key.peer_id)
        gradient = self.trainer.computed(step)
        loss = None if gradient is None else self.reporter.add(step, gradient)
        stages = self.driver.stages.seconds
        self.reporter.finished(step, stages)
        samples = 0 if gradient is None else self.manifest.batch_size
        self.recorder.finished(PeerStep(step, seconds, stages, loss, samples))
        attacks = self.behaviour.attacks(step)
        self.events.write(
            StepFinished(
                step=step,
                loss=loss,
                seconds=round(seconds, 4),
                members=len(outcome.certificate),
                newcomers=len(roster.newcomers.intersection(envelope.author for envelope in outcome.certificate)),
                attacks=attacks,
                attempt=outcome.attempt,
                roster=roster.digest.hex(),
                validates=None if target is None else str(target),
                state=state.hex(),
            )
        )
        for peer in sorted(set(outcome.roster.members) - set(roster.members)):
            until = dict(outcome.roster.probation).get(peer)
            logger.info("step %d: %s is admitted", outcome.roster.step, peer.short)
            self.events.write(PeerAdmitted(peer=str(peer), step=outcome.roster.step, probation=until))
        did = f"validated {target.short}" if target is not None else "loss not told"
        logger.info(
            "step %d: %s, %d members, %.2f s%s",
            step,
            did if loss is None else f"loss {loss:.4f}",
            len(outcome.certificate),
            seconds,
            f", attacked ({self.behaviour.name})" if attacks else "",
        )

    def on_examined(self, step: int, target: PeerId, finding: Finding) -> None:
        """Tell what this peer found as a validator; the driver calls this."""
        found = self.reporter.examined(step, target, finding)
        if found is not None:
            self.recorder.examined(found)

    def on_voided(self, event: Voided) -> None:
        """Log a failed attempt; the driver calls this."""
        self.recorder.voided(event)
        for peer, reason in event.suspended:
            logger.warning("step %d: %s is left out: %s", event.step, peer.short, reason)
            self.reporter.excluded(event.step, peer, reason)
        for peer in (*(peer for peer, _ in event.suspended), *event.left):
            self.neighbours.gone(peer)
        for verdict in event.verdicts:
            logger.warning("step %d: %s is banned: it %s", event.step, verdict.peer.short, verdict.evidence.offence)
            self.bans.add(verdict.evidence)
            self._tell_ban(verdict.evidence)
        self.events.write(
            AttemptVoided(
                step=event.step,
                attempt=event.attempt,
                suspended=tuple((str(peer), reason) for peer, reason in event.suspended),
                banned=tuple((str(verdict.peer), verdict.evidence.offence) for verdict in event.verdicts),
                left=tuple(map(str, event.left)),
            )
        )

    def _tell_ban(self, evidence: Evidence) -> None:
        path = self.bans.path_of(evidence.accused)
        self.events.write(
            PeerBanned(
                peer=str(evidence.accused),
                step=evidence.scene.roster.step,
                reason=evidence.offence,
                offence=evidence.offence.name,
                evidence=None if path is None else str(path),
            )
        )
        self._publishing = asyncio.ensure_future(self.bans.publish(self.node.records, self.key, self.manifest.run))

    def _stopped(self, outcome: Stopped) -> None:
        if outcome.kind is OutcomeKind.BANNED:
            evidence = self.bans.path_of(self.key.peer_id)
            logger.error("step %d: this peer is banned: %s; the evidence is %s", outcome.step, outcome.reason, evidence)
            self.events.write(PlaceLost(step=outcome.step, kind=outcome.kind, reason=outcome.reason))
            return
        logger.warning("step %d: this peer is %s (%s); joining again", outcome.step, outcome.kind, outcome.reason)
        self.events.write(PlaceLost(step=outcome.step, kind=outcome.kind, reason=outcome.reason))

    async def _leave(self, step: int, reason: LeaveReason) -> ExitCode:
        await self.say_goodbye(reason)
        if reason is LeaveReason.LOTTERY:
            logger.error("step %d: banned by the lottery (CHECK_PROBA); leaving", step)
            self.events.write(PeerBanned(peer=str(self.key.peer_id), step=step, reason=reason))
            return ExitCode.BANNED
        self.events.write(LeftRun(step=step, reason=reason))
        return ExitCode.FINISHED

    async def say_goodbye(self, reason: LeaveReason) -> None:
        """Tell the members that this peer leaves, and the coordinator its last metrics."""
        self.driver.leave(reason)
        await self.reporter.publish()
        await self.node.transport.flush(min(_GOODBYE_SECONDS, self.manifest.deadlines.settle))

    async def _end(self, roster: Roster, state: bytes) -> ExitCode:
        """Stay until the coordinator has the last checkpoint, so that somebody has it."""
        await self._stand(roster, state)
        self.events.write(StepsDone(step=roster.step))
        logger.info("the run's %d steps are done; waiting for the coordinator's last checkpoint", roster.step)
        await self.reporter.publish()
        deadline = time.monotonic() + _LINGER_SECONDS
        while time.monotonic() < deadline:
            record = await self.rosters.look()
            if record is not None and record.finished:
                break
            await asyncio.sleep(_REJOIN_POLL_SECONDS)
        return ExitCode.FINISHED


def _later(trusted: Roster, record: RosterRecord) -> Roster:
    """Return the coordinator's roster if it is newer than the one that this peer knows."""
    try:
        published = record.unpack()
    except Malformed as error:
        logger.warning("the coordinator's roster cannot be read: %s", error)
        return trusted
    return published if published.step > trusted.step else trusted
