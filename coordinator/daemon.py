"""`btard-coordinator`: from settings to a running coordinator, and an orderly end whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from btard.configuration import load_settings, to_yaml
from btard.coordinator.settings import CoordinatorSettings
from btard.errors import UserError
from btard.logs import MOMENT, adopt_libraries, configure_logging
from btard.vocabulary import ExitCode, WandbMode

if TYPE_CHECKING:
    from btard.coordinator.dashboard.service import Dashboard
    from btard.coordinator.manifest_maker import PreparedRun
    from btard.coordinator.run_directory import RunDirectory
    from btard.swarm.telemetry.endpoint import MetricsEndpoint
    from btard.transport.libp2p import Libp2pNode

logger = logging.getLogger("btard.coordinator")

PROGRAM = "btard-coordinator"


def run(argv: Sequence[str]) -> int:
    """Run the coordinator until its run is over, and return the exit code.

    0: the run is over, or SIGTERM; 1: over without its last checkpoint; 130: Ctrl-C.

    Raises:
        UserError: bad settings, data or checkpoint, an unwritable directory, a port in use.
    """
    settings = load_settings(CoordinatorSettings, argv, program=PROGRAM)
    configure_logging(settings.log_format)
    ports = _take_ports(settings)
    # Everything below imports torch and hivemind, for which --help and mistyped flags do not wait.
    import uvloop

    from btard.coordinator.manifest_maker import prepare_run
    from btard.coordinator.network.addresses import announce_maddrs, listen_maddrs
    from btard.coordinator.run_directory import RunDirectory

    listen = listen_maddrs(settings.host, settings.dht_port)
    announce = announce_maddrs(settings.announce, settings.dht_port)
    directory = RunDirectory(settings.directory)
    prepared = prepare_run(settings, directory)
    return uvloop.run(_main(settings, prepared, directory, listen, announce, ports))


@dataclass(frozen=True)
class Ports:
    """What is listened on before anything long begins, so that a bad port is known at once."""

    dashboard: Dashboard | None
    metrics: MetricsEndpoint | None


def _take_ports(settings: CoordinatorSettings) -> Ports:
    dashboard = metrics = None
    if settings.dashboard is not None:
        from btard.coordinator.dashboard.service import Dashboard

        dashboard = Dashboard(settings.dashboard, settings.dashboard_token_file)
    if settings.metrics is not None:
        from btard.swarm.telemetry.endpoint import MetricsEndpoint

        metrics = MetricsEndpoint(settings.metrics, settings.metrics_token_file)
    return Ports(dashboard, metrics)


async def _main(
    settings: CoordinatorSettings,
    prepared: PreparedRun,
    directory: RunDirectory,
    listen: list[str],
    announce: list[str],
    ports: Ports,
) -> int:
    """Serve until the run is over, a signal comes, or the network fails."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(_serve(settings, prepared, directory, listen, announce, ports))
    ended_by: list[signal.Signals] = []

    def interrupt(number: signal.Signals) -> None:
        ended_by.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt, number)
    try:
        return await task
    except asyncio.CancelledError:
        logger.info("ended by %s; the same command goes on with the run", ended_by[0].name if ended_by else "itself")
        return ExitCode.INTERRUPTED if signal.SIGINT in ended_by else ExitCode.FINISHED


async def _serve(
    settings: CoordinatorSettings,
    prepared: PreparedRun,
    directory: RunDirectory,
    listen: list[str],
    announce: list[str],
    ports: Ports,
) -> int:
    from prometheus_client import CollectorRegistry

    from btard.coordinator.network.address_book import remembered_addresses
    from btard.coordinator.network.network import NodeNetwork
    from btard.coordinator.network.serving import CoordinatorServer, InitialState, sign_manifest
    from btard.coordinator.run.supervisor import Supervisor
    from btard.coordinator.telemetry.meter import MeteredLog, SwarmMeter
    from btard.coordinator.telemetry.wandb_sink import WandbSink
    from btard.identity import IdentityKey
    from btard.round.evidence.file import rules_fingerprint
    from btard.swarm.door.reception import Reception
    from btard.swarm.events.coordinator import CoordinatorStarted, CoordinatorStopped, DashboardOpened
    from btard.transport.libp2p import KeyInUse, Libp2pNode

    adopt_libraries()
    manifest = prepared.manifest
    key = IdentityKey.load_or_create(directory.identity)
    initial = InitialState(manifest.start_step, prepared.initial)
    reception = Reception(sign_manifest(key, manifest))
    server = CoordinatorServer(reception, initial)
    failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def fail(reason: str) -> None:
        if not failure.done():
            failure.set_result(reason)

    async def create(initial_peers: list[str]) -> Libp2pNode:
        return await Libp2pNode.create(
            directory.identity,
            initial_peers,
            host_maddrs=listen,
            announce_maddrs=announce,
            public=settings.public,
            serve=server.serve,
            on_failure=fail,
        )

    # A restart joins the swarm that went on without it; if nobody is left there, it begins alone as before.
    remembered = remembered_addresses(directory.addresses_file)
    try:
        node = await create(remembered)
    except UserError as error:
        if not remembered or isinstance(error, KeyInUse):
            raise
        logger.warning("none of the peers of the last start can be joined: %s", error)
        node = await create([])
    # From here on the identity's lock keeps a second coordinator out of the directory.
    log: MeteredLog | None = None
    sink: WandbSink | None = None
    reason = "interrupted"
    page = contextlib.AsyncExitStack()
    try:
        _write_settings(settings, directory)
        MOMENT.peer = str(node.peer_id)
        registry = CollectorRegistry()
        meter = SwarmMeter(registry, manifest)
        log = MeteredLog(directory.events, meter)
        if settings.wandb is not WandbMode.OFF:
            # In a thread: it takes seconds, in which peers that bootstrap must get an answer.
            sink = await asyncio.to_thread(WandbSink, settings.wandb, settings.wandb_project, manifest, directory.path)
        log.write(
            CoordinatorStarted(
                run_id=manifest.run_id,
                rules=rules_fingerprint(manifest.step_rules),
                experiment=manifest.experiment,
                peer=str(node.peer_id),
                addresses=tuple(node.maddrs),
                resumed=prepared.resumed,
            )
        )
        _tell_addresses(prepared, node)
        if ports.dashboard is not None:
            await page.enter_async_context(ports.dashboard.serving(directory.path))
            log.write(DashboardOpened(address=ports.dashboard.address.url))
        if ports.metrics is not None:
            await page.enter_async_context(ports.metrics.serving(registry))
        supervisor = Supervisor(
            prepared,
            NodeNetwork(node, reception.manifest),
            key,
            directory,
            log,
            initial,
            reception,
            refresh_period=settings.refresh_period,
            meter=meter,
            sinks=(sink,) if sink is not None else (),
        )
        node.records.know(supervisor.knows)
        node.transport.is_member = supervisor.is_member
        working = asyncio.ensure_future(supervisor.run())
        try:
            either: set[asyncio.Future[Any]] = {working, failure}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                reason = failure.result()
                raise UserError(f"{reason}; start the coordinator again with the same --directory")
            reason = ""
            return int(await working)
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await working
    finally:
        if log is not None:
            if reason:
                log.write(CoordinatorStopped(reason=reason))
            log.close()
        # The page is told the end before it goes.
        await page.aclose()
        await node.close()
        if sink is not None:
            await asyncio.to_thread(sink.close)


def _write_settings(settings: CoordinatorSettings, directory: RunDirectory) -> None:
    try:
        directory.write_text(directory.path / "config.yaml", to_yaml(settings))
    except OSError as error:
        raise UserError(f"cannot write into {directory.path}: {error.strerror}") from None


def _tell_addresses(prepared: PreparedRun, node: Libp2pNode) -> None:
    from btard.coordinator.network.addresses import host_port

    manifest = prepared.manifest
    logger.info(
        "run %s (%s): task %s %s, %d numbers, %s with tau %g, steps %d to %d",
        manifest.experiment,
        "resumed" if prepared.resumed else "new",
        manifest.task,
        manifest.size,
        manifest.dimension,
        manifest.rule,
        manifest.tau,
        manifest.start_step,
        manifest.total_steps,
    )
    logger.info("peer id %s", node.peer_id)
    for maddr in node.maddrs:
        logger.info("address %s", maddr)
    logger.info("join with: btard-peer --initial-peers %s", host_port(node.maddrs))
