"""The training loop: step after step with the roster, and back in after having been left out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from btard.behaviour import Behaviour, LeaveReason
from btard.identity import IdentityKey, PeerId
from btard.peer.comparing import compare_numerics
from btard.peer.entrance import Entrance
from btard.peer.keeping.checkpoints import Checkpoints
from btard.peer.keeping.handing_over import hand_over
from btard.peer.keeping.held import HeldStates
from btard.peer.keeping.minutes import KeptMinutes
from btard.peer.keeping.progress import Progress
from btard.peer.keeping.record import KeptState
from btard.peer.meeting.descent import Descent
from btard.peer.meeting.knocking import Knocker
from btard.peer.meeting.neighbours import Neighbours
from btard.peer.meeting.rosters import Rosters
from btard.peer.own_pace import OwnPace
from btard.peer.returning import Returning
from btard.peer.serving import StateServer
from btard.peer.telemetry.meter import PeerStep
from btard.peer.telemetry.recorder import Recorder
from btard.peer.telemetry.reporting import Reporter
from btard.peer.trainer import TaskTrainer
from btard.round.actions import Finished, OutcomeKind, Stopped, Voided
from btard.round.aggregates import refusal
from btard.round.attempt.minutes import Minutes
from btard.round.evidence.evidence import Evidence
from btard.round.evidence.file import rules_fingerprint
from btard.round.roster import Roster
from btard.round.work.examination import Finding
from btard.swarm.bans import BanBook
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
from btard.swarm.lineage import ChainLink
from btard.swarm.manifest import RunManifest
from btard.transport.driver import SessionDriver
from btard.transport.libp2p import Libp2pNode
from btard.vectors.partition import from_wire
from btard.vocabulary import ExitCode

logger = logging.getLogger(__name__)

_LINGER_SECONDS = 120.0
_WATCH_SECONDS = 1.0
_GOODBYE_SECONDS = 3.0


@dataclass
class TrainingLoop:
    """Everything that a peer needs for training, put together by `daemon`."""

    key: IdentityKey
    key_is_new: bool
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
    descent: Descent
    reporter: Reporter
    recorder: Recorder
    server: StateServer
    bans: BanBook
    progress: Progress
    checkpoints: Checkpoints
    held: HeldStates
    returning: Returning
    entrance: Entrance
    events: EventLog[PeerEvent]
    own_pace: OwnPace
    _publishing: asyncio.Future[None] | None = None

    async def run(self) -> ExitCode:
        """Train until the run is over, or this peer is banned or alone.

        Raises:
            UserError: the members would take this machine's gradients for lies.
        """
        remembers_nothing = not self.progress.restarted
        if not self.key_is_new and await self.rosters.look() is not None:
            self.progress.finds_run_begun()
        # Those that the user named may be members of a run that has begun, or the coordinator that begins it.
        # After a restart this peer looks first: it can tell steps that it has not begun only by having seen them begin.
        self.knocker.knock_at({self.coordinator} if self.progress.restarted else {self.coordinator, *self.named})
        roster, over = await self.rosters.wait_for_first(self.manifest.peers)
        if over:
            logger.info("the run is over")
            return ExitCode.FINISHED
        roster = await self.descent.newest(roster)
        remembered = self.progress.roster
        if remembered is not None and remembered.step > roster.step:
            roster = remembered
        await self.neighbours.locate(roster.members, self.manifest.deadlines.settle)
        if remembers_nothing:
            await compare_numerics(self.node.transport, self.key, self.trainer, self.manifest, roster)
        entered = await self.entrance.begin(roster)
        if isinstance(entered, ExitCode):
            return entered
        roster, state = entered
        self._joined(roster)
        while roster.step < self.manifest.total_steps:
            await self._stand(roster, state)
            self.recorder.begins(roster)
            self.progress.begin(roster, state, self.entrance.incarnation)
            started = time.perf_counter()
            async with self._watched(roster):
                outcome = await self.driver.run_step(roster, state, self.neighbours.candidates(roster))
            if isinstance(outcome, Stopped):
                self._stopped(outcome)
                self.recorder.stopped(outcome)
                if outcome.kind is OutcomeKind.BANNED:
                    return ExitCode.BANNED
                if self._is_too_small(roster):
                    return ExitCode.NO_MAJORITY
                entered = await self.entrance.enter(roster, reunite=outcome.kind is OutcomeKind.NO_MAJORITY)
                if isinstance(entered, ExitCode):
                    return entered
                roster, state = entered
                self._joined(roster)
                continue
            self.descent.lengthen(ChainLink(self.entrance.incarnation, roster, outcome.roster, outcome.certificate))
            state = await self._apply(outcome)
            seconds = time.perf_counter() - started
            self.checkpoints.step_took(seconds)
            self._finished_step(roster, outcome, state, seconds)
            reason = self.behaviour.leaves(roster.step, outcome.roster)
            if reason is not None:
                return await self._leave(roster.step, reason)
            roster = outcome.roster
        return await self._end(roster, state)

    @asynccontextmanager
    async def _watched(self, roster: Roster) -> AsyncIterator[None]:
        """Inside, a step is given up as soon as most members have begun to look for each other."""

        async def watch() -> None:
            while not self.returning.is_deserted(roster, self.entrance.incarnation):  # noqa: ASYNC110 - what others ask sets no event
                await asyncio.sleep(_WATCH_SECONDS)
            self.driver.abandon("most members have come back from a restart, and wait for the others")

        watching = asyncio.ensure_future(watch())
        try:
            yield
        finally:
            watching.cancel()

    def _is_too_small(self, roster: Roster) -> bool:
        """Whether the run's rule cannot aggregate even if all are there: then nobody is waited for."""
        workers = len(roster.voters) - len(roster.audits)
        return refusal(self.manifest.step_rules.aggregation, workers) is not None

    async def _stand(self, roster: Roster, state: bytes) -> None:
        if self.manifest.wants_snapshot(roster.step):
            await self.server.hold(self.manifest.run, roster)
        self.server.stand(roster, state, self.entrance.incarnation)
        minutes = self.driver.minutes(roster.step)
        self.returning.stands(roster, state, minutes)
        if minutes is not None:
            await self.checkpoints.consider_minutes(roster.step, partial(self._keep_minutes, roster, state, minutes))
        await self.checkpoints.consider(roster.step, partial(self._keep, roster))
        self.neighbours.stand(roster.members)
        self.door.open(roster.members, roster.banned, len(roster.clients))

    async def _keep(self, roster: Roster) -> KeptState:
        state, digest, link = await self.trainer.keep()
        return KeptState(self.manifest.run, roster, digest, state, link)

    async def _keep_minutes(self, roster: Roster, state: bytes, minutes: Minutes) -> KeptMinutes | None:
        if not minutes.follows(roster):
            return None  # fewer have signed it than convince others
        link = await self.trainer.last_link()
        return KeptMinutes(self.manifest.run, roster, state, minutes.encode(), bytes(minutes.aggregate), link)

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
                incarnation=self.entrance.incarnation,
            )
        )

    def _finished_step(self, roster: Roster, outcome: Finished, state: bytes, seconds: float) -> None:
        step = roster.step
        target = roster.validators.get(self.key.peer_id)
        # Without a certificate the step was finished by what the members have agreed on.
        signed = len(outcome.certificate or outcome.roster.members)
        gradient = self.trainer.computed(step)
        if gradient is not None:
            self.own_pace.computed(gradient.seconds)
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
                members=signed,
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
            signed,
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
            self.tell_ban(verdict.evidence)
        self.events.write(
            AttemptVoided(
                step=event.step,
                attempt=event.attempt,
                suspended=tuple((str(peer), reason) for peer, reason in event.suspended),
                banned=tuple((str(verdict.peer), verdict.evidence.offence) for verdict in event.verdicts),
                left=tuple(map(str, event.left)),
            )
        )

    def tell_ban(self, evidence: Evidence) -> None:
        """Log a ban, and publish it."""
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
        reason = outcome.reason
        if outcome.kind is OutcomeKind.SUSPENDED:
            reason += self.own_pace.beside(self.driver.usual_seconds)
        logger.warning("step %d: this peer is %s (%s); joining again", outcome.step, outcome.kind, reason)
        self.events.write(PlaceLost(step=outcome.step, kind=outcome.kind, reason=reason))

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
        """Stay until the coordinator has stored the last state: until then this peer's copy may be the only one."""
        await self._stand(roster, state)
        self.events.write(StepsDone(step=roster.step))
        logger.info("the run's %d steps are done; waiting for the coordinator to store the last state", roster.step)
        await self.reporter.publish()
        patience_seconds = max(_LINGER_SECONDS, self.entrance.give_up_after_seconds)
        return await hand_over(self.held, self.rosters.look, roster.step, patience_seconds)
