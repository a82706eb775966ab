"""What the signed records of a run say at one moment. All bytes come from strangers; each record is checked by itself.

The manifest and the roster carry the coordinator's signature. Metrics, addresses and bans carry their author's, so they
are that peer's own words and prove nothing; which peers wait is what the asked peers say.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from btard.identity import MessageKind, PeerId
from btard.peer.meeting.joining import find_manifest
from btard.peer.meeting.rosters import Rosters
from btard.round.roster import Roster
from btard.swarm.bans import Bans
from btard.swarm.door.asking import ask_directory
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Head
from btard.swarm.records.record import Join, Metrics, read_records
from btard.swarm.state_sync import ask_heads
from btard.transport.base import PeerAddress
from btard.transport.libp2p import DaemonError, Libp2pNode

_HEAD_SECONDS = 3.0
"""Seconds in which members must say where they stand; those that are silent may be gone."""


@dataclass(frozen=True)
class Sight:
    """A run as its records show it.

    Attributes:
        time: of the look, seconds since the epoch by this machine's clock.
        coordinator: the signer of the manifest and the roster.
        roster: the newest one that the coordinator has published, None before the first.
        waiting: peers at the doors of the peers that were asked.
        finished: whether the run is over.
        joins, metrics, bans: by author.
        heads: where members say that they stand, of those that answer.
    """

    time: float
    coordinator: PeerId
    manifest: RunManifest
    roster: Roster | None
    waiting: frozenset[PeerId]
    finished: bool
    joins: dict[PeerId, Join]
    metrics: dict[PeerId, Metrics]
    bans: dict[PeerId, Bans]
    heads: dict[PeerId, Head] = field(default_factory=dict)


async def look(node: Libp2pNode, known: set[PeerId], timeout_seconds: float) -> Sight:
    """Read the records of the run that the peers in `known` tell of.

    Raises:
        UserError: no run is announced within `timeout_seconds`, or its manifest is of another version.
    """
    signed, manifest = await find_manifest(node.transport, known, timeout_seconds)
    return await look_at(node, known, signed.author, manifest)


async def look_at(node: Libp2pNode, known: set[PeerId], coordinator: PeerId, manifest: RunManifest) -> Sight:
    """Read the records of a run whose manifest is known; ends in some seconds."""
    run, records = manifest.run, node.records
    rosters = Rosters(records, node.transport, coordinator, run, known)
    record = await rosters.look()
    directories = await asyncio.gather(*(ask_directory(node.transport, peer) for peer in {coordinator, *known}))
    newest = record.unpack() if record is not None else None
    members = newest.members if newest is not None else ()
    waiting = {peer for directory in directories if directory is not None for peer in directory.waiting}
    joins, metrics, bans = await asyncio.gather(
        *(records.read(run, kind, members) for kind in (MessageKind.JOIN, MessageKind.METRICS, MessageKind.BANS))
    )
    told = read_records(joins, Join, run, MessageKind.JOIN)
    heads = await _heads(node, members, told) if record is not None and not record.finished else {}
    return Sight(
        time=time.time(),
        coordinator=coordinator,
        manifest=manifest,
        roster=newest,
        waiting=frozenset(waiting.difference(members)),
        finished=record is not None and record.finished,
        joins=told,
        metrics=read_records(metrics, Metrics, run, MessageKind.METRICS),
        bans=read_records(bans, Bans, run, MessageKind.BANS),
        heads=heads,
    )


async def _heads(node: Libp2pNode, members: Sequence[PeerId], joins: Mapping[PeerId, Join]) -> dict[PeerId, Head]:
    for peer, join in joins.items():
        with contextlib.suppress(DaemonError):
            node.transport.remember(PeerAddress(peer, tuple(join.maddrs)))
    return await ask_heads(node.transport, members, timeout_seconds=_HEAD_SECONDS)
