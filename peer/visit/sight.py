"""What the signed records of a run say at one moment. All bytes come from strangers; each record is checked by itself.

The manifest and the roster carry the coordinator's signature. Metrics, addresses and bans carry their author's, so they
are that peer's own words and prove nothing.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from btard.identity import Malformed, MessageKind, PeerId
from btard.round.roster import Roster
from btard.transport.libp2p import Libp2pNode
from peer.bans import Bans
from peer.joining import find_manifest, read_roster
from peer.manifest import RunManifest
from peer.records import Join, Metrics, read_records


@dataclass(frozen=True)
class Sight:
    """A run as its records show it.

    Attributes:
        time: of the look, seconds since the epoch by this machine's clock.
        coordinator: who signed the manifest and the roster.
        roster: the newest one that the coordinator has published, None before the first.
        finished: whether the run is over.
        joins, metrics, bans: by author.
    """

    time: float
    coordinator: PeerId
    manifest: RunManifest
    roster: Roster | None
    finished: bool
    joins: dict[PeerId, Join]
    metrics: dict[PeerId, Metrics]
    bans: dict[PeerId, Bans]


async def look(node: Libp2pNode, known: set[PeerId], timeout: float) -> Sight:
    """Read the records of the run that the peers in `known` tell of.

    Raises:
        UserError: no run is announced within `timeout` seconds, or its manifest is of another version.
    """
    signed, manifest = await find_manifest(node.transport, known, timeout)
    coordinator, run, records = signed.author, manifest.run, node.records
    roster, joins, metrics, bans = await asyncio.gather(
        read_roster(records, coordinator, run),
        records.read(joins_key(run)),
        records.read(metrics_key(run)),
        records.read(bans_key(run)),
    )
    newest: Roster | None = None
    if roster is not None:
        try:
            newest = roster.unpack()
        except Malformed:
            newest = None  # of another version: the table then shows what the peers say
    # Who waits to be admitted is no member yet, but a node of the DHT.
    authors = {*records.met, *(newest.members if newest is not None else ())}
    joins, metrics, bans = await asyncio.gather(
        records.read(run, MessageKind.JOIN, authors),
        records.read(run, MessageKind.METRICS, authors),
        records.read(run, MessageKind.BANS, authors),
    )
    return Sight(
        time=time.time(),
        coordinator=coordinator,
        manifest=manifest,
        roster=newest,
        finished=roster is not None and roster.finished,
        joins=read_records(joins, Join, run, MessageKind.JOIN),
        metrics=read_records(metrics, Metrics, run, MessageKind.METRICS),
        bans=read_records(bans, Bans, run, MessageKind.BANS),
    )
