"""All checks in the order in which a peer would stumble, each with what the ones before it have found."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from btard.errors import UserError
from btard.identity import IdentityKey, PeerId
from btard.peer.doctor.check_machine import (
    check_device,
    check_directory,
    check_limits,
    check_memory,
    check_p2pd,
    check_tolerance,
)
from btard.peer.doctor.check_network import (
    AddressFacts,
    Answer,
    ClockFacts,
    check_address,
    check_announced,
    check_clock,
    check_dial_back,
    check_own_address,
)
from btard.peer.doctor.check_run import check_computes_alike, check_listed
from btard.peer.doctor.finding import CheckOutcome, CheckResult, failed, ok, untested
from btard.peer.doctor.probe_machine import (
    p2pd_path,
    probe_binary,
    probe_directory,
    probe_limits,
    probe_memory,
    probe_numerics,
    probe_tolerance,
)
from btard.peer.doctor.probe_network import probe_address
from btard.peer.doctor.settings import DoctorSettings
from btard.peer.meeting.joining import load_run_task
from btard.peer.settings import PeerSettings
from btard.peer.visit.sight import Sight, look
from btard.peer.visit.visitor import visiting
from btard.printable import printable
from btard.swarm.manifest import RunManifest
from btard.swarm.records.details import MOST_NUMERICS
from btard.transport.libp2p import Libp2pNode
from btard.transport.libp2p.probing import ask_dial_back, read_clock
from btard.version import PROTOCOL_VERSION

_MOST_CLOCKS = 32


class Checkup:
    """One examination of this machine, and of its way into a swarm if one is given.

    Args:
        settings: what to test.
        listen: multiaddresses to listen on.
        announce: multiaddresses to tell others.
    """

    def __init__(self, settings: DoctorSettings, listen: Sequence[str], announce: Sequence[str]) -> None:
        self._settings = settings
        self._listen = listen
        self._announce = announce
        self._manifest: RunManifest | None = None
        self._told: list[str] = []

    async def run(self) -> AsyncIterator[CheckResult]:
        """Yield the findings as they come; bounded by a few times `--timeout`, and by loading the run's data.

        Raises:
            UserError: an address is malformed.
        """
        settings = self._settings
        p2pd = check_p2pd(probe_binary(p2pd_path()))
        yield p2pd
        yield check_directory(probe_directory(settings.directory))
        yield check_limits(probe_limits())
        answers = await asyncio.gather(*(probe_address(text, settings.timeout) for text in settings.initial_peers))
        good: list[Answer] = []
        for answer in answers:
            finding = check_address(answer)
            if finding.outcome is CheckOutcome.OK:
                good.append(answer)
            yield finding
        if p2pd.outcome is not CheckOutcome.OK:
            yield untested("network", "the network could not be tested further, since p2pd cannot run")
        elif settings.initial_peers and not good:
            yield untested("network", "the network could not be tested further, since no initial peer answers")
        else:
            async for finding in self._visit(good):
                yield finding
        yield check_memory(probe_memory(self._manifest))
        precision = self._manifest.precision if self._manifest is not None else "none"
        numerics = await asyncio.to_thread(probe_numerics, settings.device, precision)
        yield check_device(numerics)
        if numerics.torch:
            yield check_tolerance(probe_tolerance(settings.tolerance, numerics.numerics, self._manifest))
            if self._manifest is not None:
                yield check_computes_alike(printable(numerics.numerics)[:MOST_NUMERICS], self._told)

    async def _visit(self, reached: list[Answer]) -> AsyncIterator[CheckResult]:
        settings = self._settings
        try:
            async with visiting(
                [answer.address for answer in reached],
                settings.timeout,
                host_maddrs=self._listen,
                announce_maddrs=self._announce,
                public=settings.public,
            ) as (node, known):
                yield ok("p2p network", f"p2pd runs, listens and {'has joined' if known else 'would begin'} a swarm")
                async for finding in self._look_around(node, known, reached):
                    yield finding
        except UserError as error:
            yield failed("p2p network", str(error))

    async def _look_around(
        self, node: Libp2pNode, known: set[PeerId], reached: list[Answer]
    ) -> AsyncIterator[CheckResult]:
        settings = self._settings
        sight: Sight | None = None
        if known:
            try:
                sight = await look(node, known, settings.timeout)
            except UserError as error:
                yield failed("run", str(error))
            else:
                self._manifest, self._told = sight.manifest, _numerics_of_members(sight)
                yield ok("run", _about(sight))
                yield check_listed(sight.manifest, _own_key(settings.directory))
                yield await self._data(sight.manifest)
        else:
            yield untested("run", "no run was looked at; give --initial-peers to test the way into one")
        others = [tuple(join.maddrs) for peer, join in sight.joins.items()] if sight is not None else []
        others += [(answer.maddr,) for answer in reached]
        yield check_announced(AddressFacts(node.maddrs, tuple(others), bool(self._announce)))
        bare = [maddr.partition("/p2p/")[0] for maddr in node.maddrs]
        if known:
            asked = [await ask_dial_back(node.control, node.peer_id, bare, peer, settings.timeout) for peer in known]
            yield check_dial_back(min(asked, key=lambda answer: answer.reach.order), bare)
        for maddr in self._announce:
            mine = f"{maddr.partition('/p2p/')[0]}/p2p/{node.peer_id}"
            yield check_own_address(await probe_address(mine, settings.timeout))
        if known:
            yield check_clock(await self._clocks(node, known, sight))

    async def _data(self, manifest: RunManifest) -> CheckResult:
        settings = self._settings
        mine = PeerSettings(
            initial_peers=settings.initial_peers,
            announce=[],
            data=settings.data,
            tokenizer=settings.tokenizer,
            cache_dir=settings.cache_dir,
            max_data=settings.max_data,
            max_batch=settings.max_batch,
            max_dimension=settings.max_dimension,
        )
        try:
            await asyncio.to_thread(load_run_task, mine, manifest)
        except UserError as error:
            return failed("data", str(error))
        return ok("data", f"this machine's data have the run's fingerprint, {manifest.fingerprint[:16]}")

    async def _clocks(self, node: Libp2pNode, known: set[PeerId], sight: Sight | None) -> ClockFacts:
        members = sight.roster.members if sight is not None and sight.roster is not None else ()
        asked = sorted(known.union(members[:_MOST_CLOCKS]))
        readings = await asyncio.gather(*(read_clock(node.dht, peer, self._settings.timeout) for peer in asked))
        return ClockFacts(tuple(reading for reading in readings if reading is not None))


def _own_key(directory: Path) -> PeerId | None:
    path = directory / "identity.key"
    return IdentityKey.load(path).peer_id if path.exists() else None


def _numerics_of_members(sight: Sight) -> list[str]:
    members = sight.roster.members if sight.roster is not None else ()
    told = (record.details for peer, record in sight.metrics.items() if peer in members)
    return [details.numerics for details in told if details is not None]


def _about(sight: Sight) -> str:
    """What is announced there, how many take part as clients, and which versions run it."""
    run = f"the run {printable(sight.manifest.experiment)} speaks protocol {PROTOCOL_VERSION}, as this version does"
    if sight.roster is not None and sight.roster.clients:
        run += f"; {len(sight.roster.clients)} of {len(sight.roster.members)} members are clients"
    told = Counter(record.details.version for record in sight.metrics.values() if record.details is not None)
    if not told:
        return run
    try:
        mine = version("btard")
    except PackageNotFoundError:
        mine = "unknown"
    same = told[mine]
    return f"{run}; {same} of {told.total()} peers that tell it run {mine} as this machine does"
