"""Puts the parts of a coordinator together, and takes them apart in order whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from btard.configuration import to_yaml
from btard.coordinator.manifest_maker import PreparedRun
from btard.coordinator.network.address_book import remembered_addresses
from btard.coordinator.network.network import NodeNetwork
from btard.coordinator.network.serving import CoordinatorServer, InitialState, sign_manifest
from btard.coordinator.ports import Ports
from btard.coordinator.run.supervisor import Supervisor
from btard.coordinator.run_directory import RunDirectory
from btard.coordinator.settings import CoordinatorSettings
from btard.coordinator.telemetry.meter import MeteredLog, SwarmMeter
from btard.coordinator.telemetry.wandb_sink import WandbSink
from btard.errors import UserError
from btard.identity import IdentityKey
from btard.logs import MOMENT, adopt_libraries
from btard.round.evidence.file import rules_fingerprint
from btard.swarm.addresses import host_port
from btard.swarm.door.reception import Reception
from btard.swarm.events.coordinator import CoordinatorStarted, CoordinatorStopped, DashboardOpened
from btard.transport.libp2p import KeyInUse, Libp2pNode
from btard.vocabulary import ExitCode, WandbMode

logger = logging.getLogger("btard.coordinator")


@dataclass(frozen=True)
class CoordinatorPlan:
    """What a coordinator is made of.

    Attributes:
        listen, announce: multiaddresses of its node, and those that it tells instead of those found.
    """

    settings: CoordinatorSettings
    prepared: PreparedRun
    directory: RunDirectory
    listen: list[str]
    announce: list[str]
    ports: Ports


@dataclass
class Ending:
    """Why the coordinator ends before its run does; empty when the run is over."""

    reason: str = "interrupted"


async def serve(plan: CoordinatorPlan) -> int:
    """Run a coordinator until its run is over, and return the exit code; cancel to end before.

    Raises:
        UserError: its key, directory or port is in use, or the network failed.
    """
    adopt_libraries()
    prepared, directory = plan.prepared, plan.directory
    manifest = prepared.manifest
    key = IdentityKey.load_or_create(directory.identity)
    initial = InitialState(manifest.start_step, prepared.initial)
    reception = Reception(sign_manifest(key, manifest))
    failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    sinks: list[WandbSink] = []
    async with contextlib.AsyncExitStack() as parts:
        parts.push_async_callback(_close, sinks)
        server = CoordinatorServer(reception, prepared.first_states or initial)
        node = await _start_node(plan, server, failure)
        parts.push_async_callback(node.close)
        # From here on the identity's lock keeps a second coordinator out of the directory.
        _write_settings(plan)
        MOMENT.peer = str(node.peer_id)
        registry = CollectorRegistry()
        meter = SwarmMeter(registry, manifest)
        # The page is told the end before it goes.
        page = await parts.enter_async_context(contextlib.AsyncExitStack())
        log = parts.enter_context(MeteredLog(directory.events, meter))
        ending = Ending()
        parts.callback(_tell_end, log, ending)
        await _open_sinks(plan, sinks)
        log.write(_started(plan, node))
        _tell_addresses(prepared, node)
        if plan.ports.dashboard is not None:
            await page.enter_async_context(plan.ports.dashboard.serving(directory.path))
            log.write(DashboardOpened(address=plan.ports.dashboard.address.url))
        if plan.ports.metrics is not None:
            await page.enter_async_context(plan.ports.metrics.serving(registry))
        if manifest.pipeline is not None:
            # It imports transformers, for which other runs need not wait.
            from btard.coordinator.pipeline.supervisor import PipelineSupervisor

            stages = PipelineSupervisor(prepared, node, key, directory, log, reception)
            node.records.know(stages.is_member)
            node.transport.is_member = stages.is_member
            return await _supervise(stages.run(), failure, ending)
        supervisor = Supervisor(
            prepared,
            NodeNetwork(node, reception.manifest, directory.arriving),
            key,
            directory,
            log,
            initial,
            reception,
            refresh_seconds=plan.settings.refresh_period,
            meter=meter,
            sinks=tuple(sinks),
        )
        node.records.know(supervisor.knows)
        node.transport.is_member = supervisor.is_member
        return await _supervise(supervisor.run(), failure, ending)


async def _start_node(plan: CoordinatorPlan, server: CoordinatorServer, failure: asyncio.Future[str]) -> Libp2pNode:
    """Join the swarm that went on without its coordinator; if nobody is left there, begin alone as before."""

    def fail(reason: str) -> None:
        if not failure.done():
            failure.set_result(reason)

    async def create(initial_peers: list[str]) -> Libp2pNode:
        return await Libp2pNode.create(
            plan.directory.identity,
            initial_peers,
            host_maddrs=plan.listen,
            announce_maddrs=plan.announce,
            public=plan.settings.public,
            serve=server.serve,
            on_failure=fail,
        )

    remembered = remembered_addresses(plan.directory.addresses_file)
    try:
        return await create(remembered)
    except UserError as error:
        if not remembered or isinstance(error, KeyInUse):
            raise
        logger.warning("none of the peers of the last start can be joined: %s", error)
        return await create([])


async def _supervise(supervising: Coroutine[Any, Any, ExitCode], failure: asyncio.Future[str], ending: Ending) -> int:
    """Run a supervisor until it is done or the network has failed."""
    working = asyncio.ensure_future(supervising)
    try:
        either: set[asyncio.Future[Any]] = {working, failure}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            ending.reason = failure.result()
            raise UserError(f"{ending.reason}; start the coordinator again with the same --directory")
        ending.reason = ""
        return int(await working)
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await working


async def _open_sinks(plan: CoordinatorPlan, sinks: list[WandbSink]) -> None:
    """Add what is told of steps beside the files, in a thread: it takes seconds, in which peers must get an answer."""
    settings = plan.settings
    if settings.wandb is not WandbMode.OFF:
        arguments = settings.wandb, settings.wandb_project, plan.prepared.manifest, plan.directory.path
        sinks.append(await asyncio.to_thread(WandbSink, *arguments))


async def _close(sinks: list[WandbSink]) -> None:
    for sink in sinks:
        await asyncio.to_thread(sink.close)


def _tell_end(log: MeteredLog, ending: Ending) -> None:
    if ending.reason:
        log.write(CoordinatorStopped(reason=ending.reason))


def _write_settings(plan: CoordinatorPlan) -> None:
    directory = plan.directory
    try:
        directory.write_text(directory.path / "config.yaml", to_yaml(plan.settings))
    except OSError as error:
        raise UserError(f"cannot write into {directory.path}: {error.strerror}") from None


def _started(plan: CoordinatorPlan, node: Libp2pNode) -> CoordinatorStarted:
    manifest = plan.prepared.manifest
    return CoordinatorStarted(
        run_id=manifest.run_id,
        rules=rules_fingerprint(manifest.step_rules),
        experiment=manifest.experiment,
        peer=str(node.peer_id),
        addresses=node.maddrs,
        resumed=plan.prepared.resumed,
    )


def _tell_addresses(prepared: PreparedRun, node: Libp2pNode) -> None:
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
