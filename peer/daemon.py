"""`btard-peer`: from settings to a running peer, and an orderly end whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from btard.configuration import load_settings, to_yaml
from btard.errors import UserError
from btard.identity import IdentityKey, PeerId
from btard.logs import MOMENT, adopt_libraries, configure_logging
from btard.peer.settings import PeerSettings
from btard.round.messages.bodies import LeaveReason
from btard.vocabulary import ExitCode

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from btard.behaviour import Behaviour
    from btard.swarm.telemetry.endpoint import MetricsEndpoint
    from btard.transport.libp2p import Libp2pNode

logger = logging.getLogger("btard.peer")

_RESOLVE_POLL = 1.0

BANS_FOLDER = "bans"
"""Evidence of bans, in the directory of a peer or a coordinator."""


def run(argv: Sequence[str]) -> int:
    """Run a peer until the run is over, and return its exit code (see docs/operations.md).

    Raises:
        UserError: bad settings, no run at the address, a run that this peer cannot serve.
    """
    settings = load_settings(PeerSettings, argv, program="btard-peer")
    configure_logging(settings.log_format)
    key = _prepare_directory(settings)
    MOMENT.peer = str(key.peer_id)
    # Everything below imports torch and hivemind, for which --help and mistyped flags do not wait.
    import uvloop

    from btard.byzantine.selection import make_behaviour

    behaviour = make_behaviour(settings, seed=bytes(key.peer_id))

    endpoint = None
    if settings.metrics is not None:
        from btard.swarm.telemetry.endpoint import MetricsEndpoint

        endpoint = MetricsEndpoint(settings.metrics, settings.metrics_token_file)
    return uvloop.run(_main(settings, key, behaviour, endpoint))


def _prepare_directory(settings: PeerSettings) -> IdentityKey:
    directory = settings.directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.yaml").write_text(to_yaml(settings), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write into {directory}: {error.strerror}; give a writable --directory") from None
    return IdentityKey.load_or_create(_identity_path(directory))


def _identity_path(directory: Path) -> Path:
    return directory / "identity.key"


async def _main(
    settings: PeerSettings, key: IdentityKey, behaviour: Behaviour, endpoint: MetricsEndpoint | None
) -> int:
    """Run the peer's task until it ends, a signal comes, or the network fails."""
    loop = asyncio.get_running_loop()
    peer = Peer(settings, key, behaviour, endpoint)
    task = asyncio.ensure_future(peer.run())
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        if peer.failure is not None:
            raise UserError(peer.failure) from None
        logger.info("interrupted; saying goodbye")
        return ExitCode.INTERRUPTED


class Peer:
    """One peer, from the first address to the last step."""

    def __init__(
        self, settings: PeerSettings, key: IdentityKey, behaviour: Behaviour, endpoint: MetricsEndpoint | None
    ) -> None:
        self._settings = settings
        self._key = key
        self._behaviour = behaviour
        self._endpoint = endpoint
        self.failure: str | None = None

    async def run(self) -> int:
        """Join, train, and leave everything clean."""
        from prometheus_client import CollectorRegistry

        registry = CollectorRegistry()
        if self._endpoint is None:
            return await self._join(registry)
        # Served before there is anything to tell: a peer that waits for its coordinator is up.
        async with self._endpoint.serving(registry):
            return await self._join(registry)

    async def _join(self, registry: CollectorRegistry) -> int:
        from btard.transport.libp2p import Libp2pNode

        adopt_libraries()
        settings = self._settings
        maddrs = await self._resolve()
        task = asyncio.current_task()

        def fail(reason: str) -> None:
            self.failure = reason
            if task is not None:
                task.cancel()

        node = await Libp2pNode.create(
            _identity_path(settings.directory),
            maddrs,
            host_maddrs=[f"/ip{6 if ':' in settings.host else 4}/{settings.host}/tcp/{settings.port}"],
            announce_maddrs=settings.announce,
            public=settings.public,
            startup_timeout_seconds=settings.join_timeout,
            on_failure=fail,
        )
        try:
            return await self._train(node, _by_peer(maddrs), registry)
        finally:
            await node.close()

    async def _resolve(self) -> list[str]:
        """Return the initial peers' multiaddresses; a coordinator that is just starting may need some patience."""
        from btard.transport.libp2p import NoAnswer, resolve_initial_peers

        settings, loop = self._settings, asyncio.get_running_loop()
        deadline = loop.time() + settings.join_timeout
        while True:
            try:
                return await resolve_initial_peers(settings.initial_peers, min(settings.join_timeout, 10.0))
            except NoAnswer as error:
                if loop.time() > deadline:
                    raise
                logger.warning("%s; trying for %.0f s more", error, deadline - loop.time())
            await asyncio.sleep(_RESOLVE_POLL)

    async def _train(self, node: Libp2pNode, named: dict[PeerId, tuple[str, ...]], registry: CollectorRegistry) -> int:
        import torch

        from btard.executor import Executor
        from btard.peer.meeting.joining import check_local_settings, find_manifest, load_run_task
        from btard.peer.meeting.knocking import Knocker
        from btard.peer.meeting.neighbours import Neighbours
        from btard.peer.meeting.rosters import Rosters
        from btard.peer.progress import Progress
        from btard.peer.serving import StateServer
        from btard.peer.shown_momentum import ShownMomentum
        from btard.peer.telemetry.meter import PeerMeter
        from btard.peer.telemetry.recorder import Recorder, begin_wandb
        from btard.peer.telemetry.reporting import Reporter
        from btard.peer.trainer import TaskTrainer
        from btard.peer.training import TrainingLoop
        from btard.round.session import Session
        from btard.swarm.bans import BanBook
        from btard.swarm.door.door import Door, call_over
        from btard.swarm.door.reception import Reception, Rooms
        from btard.swarm.events.log import EventLog
        from btard.swarm.questions import is_large
        from btard.swarm.telemetry.validation_watch import ValidationWatch
        from btard.transport.driver import SessionDriver, in_worker
        from btard.vectors.buffers import BufferPool

        settings = self._settings
        if settings.threads:
            torch.set_num_threads(settings.threads)
        signed, manifest = await find_manifest(node.transport, named, settings.join_timeout)
        coordinator = signed.author
        check_local_settings(settings, manifest)
        loop = asyncio.get_running_loop()
        task = await loop.run_in_executor(None, load_run_task, settings, manifest)
        trainer = await loop.run_in_executor(None, TaskTrainer, task, manifest, settings.device)
        adopt_libraries()
        wandb = await loop.run_in_executor(None, begin_wandb, settings, manifest, self._key.peer_id)
        logger.info(
            "run %s of coordinator %s: task %s %s, %d numbers, %s with tau %g; this peer is %s",
            manifest.experiment,
            coordinator,
            manifest.task,
            manifest.size,
            manifest.dimension,
            manifest.rule,
            manifest.tau,
            self._key.peer_id,
        )
        session = Session(manifest.step_rules, self._key, self._behaviour, BufferPool())
        ask = ShownMomentum(trainer, manifest, node.transport).ask
        run = in_worker(trainer.worker)
        executor = Executor(manifest.step_rules, self._key.peer_id, self._behaviour, trainer, ask, run)
        driver = SessionDriver(session, node.transport, executor, node.transport.charge)
        node.transport.is_member = lambda peer: peer == coordinator or session.is_member(peer)
        node.transport.attach(driver)
        meter = PeerMeter(
            registry,
            self._key.peer_id,
            experiment=manifest.experiment,
            run_id=manifest.run_id,
            numerics=trainer.numerics,
            counters=node.transport.counters,
        )
        bans = BanBook(settings.directory / BANS_FOLDER, manifest.step_rules)
        reception = Reception(signed)
        rosters = Rosters(node.records, node.transport, coordinator, manifest.run, named)
        door = Door(manifest, partial(call_over, node.transport, reception.manifest), node.transport.connected)
        knocker = Knocker(node.transport, manifest, node.maddrs)
        neighbours = Neighbours(node, self._key, manifest, named, rosters, door, knocker)
        node.records.know(neighbours.knows)
        reception.open(Rooms(door, rosters.newest_bytes, neighbours.directory))
        server = StateServer(reception, trainer, self._behaviour, bans)
        node.transport.serve_with(server.answer, is_large)
        training = TrainingLoop(
            key=self._key,
            coordinator=coordinator,
            named=frozenset(named),
            manifest=manifest,
            node=node,
            driver=driver,
            trainer=trainer,
            behaviour=self._behaviour,
            neighbours=neighbours,
            door=door,
            knocker=knocker,
            rosters=rosters,
            reporter=Reporter(
                node.records, self._key, manifest, self._behaviour, node.transport.counters, trainer.numerics
            ),
            recorder=Recorder(meter, wandb, ValidationWatch(manifest.validators)),
            server=server,
            bans=bans,
            progress=Progress(settings.directory / "progress", manifest.run_id),
            events=EventLog(settings.directory / "events.jsonl"),
            join_timeout=settings.join_timeout,
        )
        driver.attach(training)
        background = [asyncio.ensure_future(work.run()) for work in (neighbours, knocker, door, training.reporter)]
        try:
            return await training.run()
        except asyncio.CancelledError:
            if self.failure is None:
                await training.say_goodbye(LeaveReason.SHUTDOWN)
            raise
        finally:
            for work in background:
                work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*background)
            trainer.close()
            training.events.close()
            await loop.run_in_executor(None, training.recorder.close)


def _by_peer(maddrs: Sequence[str]) -> dict[PeerId, tuple[str, ...]]:
    from btard.transport.libp2p.discover import split_maddr

    found: dict[PeerId, tuple[str, ...]] = {}
    for maddr in maddrs:
        peer, _ = split_maddr(maddr)
        found[peer] = (*found.get(peer, ()), maddr)
    return found
