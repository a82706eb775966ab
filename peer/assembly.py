"""Puts the parts of a peer together, from the manifest that named peers tell to the training loop, and ends them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import torch
from prometheus_client import CollectorRegistry

from btard.behaviour import Behaviour, LeaveReason
from btard.errors import UserError
from btard.executor import Executor
from btard.identity import Envelope, IdentityKey, PeerId
from btard.logs import adopt_libraries
from btard.peer.entrance import Entrance
from btard.peer.keeping.cadence import Cadence
from btard.peer.keeping.checkpoints import Checkpoints
from btard.peer.keeping.held import HeldStates
from btard.peer.keeping.progress import PROGRESS_FILE, Progress
from btard.peer.keeping.reports import REPORTS_FILE, KeptReports
from btard.peer.meeting.acquaintances import AcquaintanceBook, Acquaintances
from btard.peer.meeting.descent import Descent
from btard.peer.meeting.joining import check_listed, check_local_settings, find_manifest, load_run_task
from btard.peer.meeting.knocking import Knocker
from btard.peer.meeting.neighbours import Neighbours
from btard.peer.meeting.rosters import Rosters
from btard.peer.own_pace import OwnPace
from btard.peer.returning import Returning
from btard.peer.serving import StateServer
from btard.peer.settings import PeerSettings
from btard.peer.shown_material import ShownMaterial
from btard.peer.telemetry.meter import PeerMeter
from btard.peer.telemetry.recorder import Recorder, begin_wandb
from btard.peer.telemetry.reporting import Reporter
from btard.peer.trainer import TaskTrainer
from btard.peer.training import TrainingLoop
from btard.round.attempt.minutes import Minutes
from btard.round.rules import StepRules
from btard.round.session import Session
from btard.swarm.bans import BanBook
from btard.swarm.door.door import Door, call_over
from btard.swarm.door.reception import Reception, Rooms
from btard.swarm.events.log import EventLog
from btard.swarm.events.reading import EVENTS_FILE
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import is_large
from btard.swarm.telemetry.validation_watch import ValidationWatch
from btard.swarm.telemetry.wandb_run import WandbRun
from btard.swarm.tending import tend
from btard.swarm.transfer.arrival import ARRIVING_FILE
from btard.transport.driver import SessionDriver, in_worker
from btard.transport.libp2p import Libp2pNode
from btard.vectors.buffers import BufferPool

logger = logging.getLogger("btard.peer")

BANS_FOLDER = "bans"
"""Evidence of bans, in the directory of a peer or a coordinator."""

INCARNATION_FILE, STATES_FOLDER, HELD_FOLDER = "incarnation", "states", "held"
"""In the directory of a peer: by which votes the run's incarnation has begun; its training states; those that the
coordinator has not stored yet."""

_ACQUAINTED_SECONDS = 8.0
"""Seconds in which members of the last start must tell of the run, before the initial peers are tried again."""


@dataclass(frozen=True)
class Local:
    """What a peer is before it knows any run.

    Attributes:
        key_is_new: whether it was made at this start.
        named: the peers that the user named, with their addresses.
        acquaintances: members of the run that this peer was in before, if they stand for the named peers.
    """

    settings: PeerSettings
    key: IdentityKey
    key_is_new: bool
    behaviour: Behaviour
    node: Libp2pNode
    named: dict[PeerId, tuple[str, ...]]
    registry: CollectorRegistry
    acquaintances: Acquaintances | None = None


@dataclass(frozen=True)
class Learnt:
    """What named peers have told of the run, and what was loaded for it.

    Attributes:
        signed: the manifest as its coordinator has signed it.
    """

    signed: Envelope
    manifest: RunManifest
    trainer: TaskTrainer
    wandb: WandbRun | None

    @property
    def coordinator(self) -> PeerId:
        """Whose run it is."""
        return self.signed.author


TakeStage = Callable[[Local, Envelope, RunManifest], Awaitable[int]]
"""Takes part in a run whose model is cut into stages, until it is over, and returns the exit code."""


async def train(local: Local, has_failed: Callable[[], bool], take_stage: TakeStage | None = None) -> int:
    """Learn the run, train until it is over, and return the exit code; cancel to leave before.

    Args:
        has_failed: whether the network has, so that nobody is left to be told goodbye.
        take_stage: takes part in runs of stages; None where this program does not.

    Raises:
        UserError: no run at the named peers, or one that this peer cannot serve.
    """
    signed, manifest = await _find(local)
    if manifest.pipeline is not None:
        if take_stage is None:
            raise UserError("the run's model is cut into stages, which btard-peer takes; start that program")
        return await take_stage(local, signed, manifest)
    learnt = await _learn(local, signed, manifest)
    training = _assemble(local, learnt)
    # Whatever one of them raises, the others are ended, the last first.
    async with contextlib.AsyncExitStack() as parts:
        parts.push_async_callback(asyncio.to_thread, training.recorder.close)
        parts.callback(training.events.close)
        parts.callback(training.reporter.close)
        parts.callback(learnt.trainer.close)
        parts.push_async_callback(training.checkpoints.close)
        parts.callback(local.node.transport.serve_with, None)  # nobody is answered by a trainer that has ended
        parts.push_async_callback(_end, _background(training))
        try:
            return await training.run()
        except asyncio.CancelledError:
            if not has_failed():
                await training.say_goodbye(LeaveReason.SHUTDOWN)
            raise


def _background(training: TrainingLoop) -> list[asyncio.Task[None]]:
    """Begin what goes on beside the steps."""
    work: dict[str, Callable[[], Awaitable[None]]] = {
        "announcing this peer and finding the members": training.neighbours.run,
        "knocking": training.knocker.run,
        "calling back peers at the door": training.door.run,
        "publishing metrics": training.reporter.run,
        "letting go of states that are stored": partial(training.held.run, training.rosters.look),
    }
    return [asyncio.create_task(tend(what, each)) for what, each in work.items()]


async def _end(background: list[asyncio.Task[None]]) -> None:
    for each in background:
        each.cancel()
    await asyncio.gather(*background, return_exceptions=True)


async def _find(local: Local) -> tuple[Envelope, RunManifest]:
    """Find the manifest of a run that this peer may join."""
    settings = local.settings
    # Members that were started again at the same moment know no run yet either.
    patience_seconds = settings.join_timeout if local.acquaintances is None else _ACQUAINTED_SECONDS
    signed, manifest = await find_manifest(local.node.transport, local.named, patience_seconds)
    if local.acquaintances is not None and not local.acquaintances.belong_to(signed):
        raise UserError("the members of this peer's last run tell of another one; give --initial-peers that answer")
    check_listed(local.key.peer_id, signed.author, manifest)
    check_local_settings(settings, manifest)
    return signed, manifest


async def _learn(local: Local, signed: Envelope, manifest: RunManifest) -> Learnt:
    """Load what the manifest names."""
    settings, me = local.settings, local.key.peer_id
    if settings.threads:
        torch.set_num_threads(settings.threads)
    loop = asyncio.get_running_loop()
    task = await loop.run_in_executor(None, load_run_task, settings, manifest)
    trainer = await loop.run_in_executor(None, TaskTrainer, task, manifest, settings.device)
    adopt_libraries()
    wandb = await loop.run_in_executor(None, begin_wandb, settings, manifest, me)
    logger.info(
        "run %s of coordinator %s: task %s %s, %d numbers, %s with tau %g; this peer is %s",
        manifest.experiment,
        signed.author,
        manifest.task,
        manifest.size,
        manifest.dimension,
        manifest.rule,
        manifest.tau,
        me,
    )
    if settings.client_mode:
        logger.info(
            "client mode: this peer computes and sends gradients, which are checked as everybody's; it owns no part, "
            "validates nothing and has no vote, and at most half of the members may be clients"
        )
    return Learnt(signed, manifest, trainer, wandb)


def _assemble(local: Local, learnt: Learnt) -> TrainingLoop:
    """Connect the parts with each other and with the node."""
    node, manifest, coordinator, trainer = local.node, learnt.manifest, learnt.coordinator, learnt.trainer
    settings, driver = local.settings, _attach_driver(local, learnt)
    directory = settings.directory
    checkpoints = Checkpoints(
        directory / STATES_FOLDER, manifest.run, Cadence(settings.checkpoint_interval), settings.keep_every
    )
    progress = Progress(directory / PROGRESS_FILE, manifest.run_id, traces=bool(checkpoints.places))
    proof_file, arriving = directory / INCARNATION_FILE, directory / ARRIVING_FILE
    returning = Returning(local.key, manifest, node.transport, trainer, checkpoints, progress, proof_file, arriving)
    bans = BanBook(directory / BANS_FOLDER, manifest.step_rules)
    meeting = _meet(local, learnt)
    held = HeldStates(directory / HELD_FOLDER, manifest.run, manifest.total_steps)
    counters = node.transport.counters
    reports = KeptReports(directory / REPORTS_FILE, manifest.run_id)
    reporter = Reporter(node.records, local.key, manifest, local.behaviour, counters, trainer.numerics, reports)
    answers = driver.commits_of, driver.shows, returning, held, reporter.since
    server = StateServer(meeting.reception, trainer, local.behaviour, bans, *answers)
    node.transport.serve_with(server.answer, is_large)
    node.transport.is_member = lambda peer: peer == coordinator or driver.is_member(peer) or returning.awaits(peer)
    entrance = Entrance(
        me=local.key.peer_id,
        manifest=manifest,
        transport=node.transport,
        trainer=trainer,
        rosters=meeting.rosters,
        descent=meeting.descent,
        neighbours=meeting.neighbours,
        door=meeting.door,
        knocker=meeting.knocker,
        server=server,
        bans=bans,
        progress=progress,
        returning=returning,
        tell_at_work=driver.tell_at_work,
        reborn=partial(_reborn, local, learnt, driver),
        join_timeout_seconds=settings.join_timeout,
        give_up_after_seconds=math.inf if settings.give_up_after is None else settings.give_up_after,
    )
    training = TrainingLoop(
        key=local.key,
        key_is_new=local.key_is_new,
        coordinator=coordinator,
        named=frozenset(local.named),
        manifest=manifest,
        node=node,
        driver=driver,
        trainer=trainer,
        behaviour=local.behaviour,
        neighbours=meeting.neighbours,
        door=meeting.door,
        knocker=meeting.knocker,
        rosters=meeting.rosters,
        descent=meeting.descent,
        reporter=reporter,
        recorder=Recorder(_meter(local, learnt), learnt.wandb, ValidationWatch(manifest.validators)),
        server=server,
        bans=bans,
        progress=progress,
        checkpoints=checkpoints,
        held=held,
        returning=returning,
        entrance=entrance,
        own_pace=OwnPace(manifest.slowest),
        events=EventLog(directory / EVENTS_FILE),
    )
    driver.attach(training)
    entrance.on_ban = training.tell_ban
    return training


@dataclass(frozen=True)
class _Meeting:
    """How this peer gets in, and how others do here."""

    reception: Reception
    rosters: Rosters
    descent: Descent
    door: Door
    knocker: Knocker
    neighbours: Neighbours


def _meet(local: Local, learnt: Learnt) -> _Meeting:
    node, manifest, coordinator = local.node, learnt.manifest, learnt.coordinator
    reception = Reception(learnt.signed)
    rosters = Rosters(node.records, node.transport, coordinator, manifest.run, local.named)
    descent = Descent(node.transport, manifest.step_rules, rosters, {*local.named} - {coordinator})
    door = Door(manifest, partial(call_over, node.transport, reception.manifest), node.transport.connected)
    knocker = Knocker(node.transport, manifest, node.maddrs, client=local.settings.client_mode)
    book = AcquaintanceBook(local.settings.directory, learnt.signed, local.settings.initial_peers)
    neighbours = Neighbours(node, local.key, manifest, local.named, rosters, door, knocker, book)
    node.records.know(neighbours.knows)
    reception.open(Rooms(door, rosters.newest_bytes, neighbours.directory, descent.shown))
    return _Meeting(reception, rosters, descent, door, knocker, neighbours)


def _attach_driver(local: Local, learnt: Learnt) -> SessionDriver:
    """Return the driver of this peer's steps, which the transport brings what arrives."""
    transport, rules = local.node.transport, learnt.manifest.step_rules
    session, executor = _session(local, learnt, rules)
    driver = SessionDriver(session, transport, executor, transport.charge)
    transport.attach(driver)
    return driver


def _session(local: Local, learnt: Learnt, rules: StepRules) -> tuple[Session, Executor]:
    """Return a peer that has not begun, in the incarnation of the run that the rules name."""
    material = ShownMaterial(learnt.trainer, rules, local.node.transport, 4 * rules.dimension)
    run = in_worker(learnt.trainer.worker)
    executor = Executor(rules, local.key.peer_id, local.behaviour, learnt.trainer, material, run)
    return Session(rules, local.key, local.behaviour, BufferPool()), executor


def _reborn(local: Local, learnt: Learnt, driver: SessionDriver, number: int, minutes: Minutes | None) -> None:
    """Let a driver go on in another incarnation, and look back at what an earlier one has left."""
    session, executor = _session(local, learnt, learnt.manifest.step_rules.reborn(number))
    if minutes is not None:
        session.legacy.take_over(minutes)
    driver.go_on(session, executor)


def _meter(local: Local, learnt: Learnt) -> PeerMeter:
    return PeerMeter(
        local.registry,
        local.key.peer_id,
        experiment=learnt.manifest.experiment,
        run_id=learnt.manifest.run_id,
        numerics=learnt.trainer.numerics,
        counters=local.node.transport.counters,
    )
