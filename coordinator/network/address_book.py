"""Remembers where the members can be dialled: a restarted coordinator knows nobody, and nobody looks for it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from btard.coordinator.network.network import SwarmNetwork
from btard.coordinator.run_directory import RunDirectory
from btard.errors import UserError
from btard.identity import MessageKind, PeerId
from btard.round.roster import Roster
from btard.swarm.manifest import RunManifest
from btard.swarm.records.record import Join, read_records
from btard.transport.libp2p.discover import split_maddr

logger = logging.getLogger(__name__)

MAX_BOOTSTRAP = 16
"""Addresses that a restart tries."""


class AddressBook:
    """Keeps the announced addresses of the trusted roster's members in a file."""

    def __init__(self, network: SwarmNetwork, manifest: RunManifest, directory: RunDirectory) -> None:
        self._network = network
        self._run = manifest.run
        self._directory = directory
        self._complains = True
        self._known: dict[PeerId, list[str]] = {}

    async def refresh(self, trusted: Roster) -> None:
        """Read what the members announce, and write it down if it has changed."""
        records = await self._network.read(self._run, MessageKind.JOIN, trusted.members)
        joins = read_records(records, Join, self._run, MessageKind.JOIN)
        known = {peer: maddrs for peer, maddrs in self._known.items() if peer in trusted.members}
        self._take(known | _usable({peer: tuple(join.maddrs) for peer, join in joins.items()}))

    def learn(self, told: Mapping[PeerId, tuple[str, ...]]) -> None:
        """Write down where the first members have said at the door that they are."""
        self._take(self._known | _usable(told))

    @property
    def known(self) -> dict[PeerId, tuple[str, ...]]:
        """Where the members are."""
        return {peer: tuple(maddrs) for peer, maddrs in self._known.items()}

    def _take(self, known: dict[PeerId, list[str]]) -> None:
        if known == self._known:
            return
        self._known = known
        try:
            self._directory.save_addresses([maddr for maddrs in known.values() for maddr in maddrs])
        except OSError as error:
            if self._complains:
                logger.error("cannot remember the peers' addresses for a restart: %s", error.strerror)
            self._complains = False


def remembered_addresses(path: Path) -> list[str]:
    """Return some addresses that a former start wrote, at most one a peer; none when there is no such file."""
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    found: dict[PeerId, str] = {}
    for text in texts if isinstance(texts, list) else []:
        try:
            found.setdefault(split_maddr(str(text))[0], str(text))
        except UserError:
            continue
    return list(found.values())[:MAX_BOOTSTRAP]


def _usable(told: Mapping[PeerId, tuple[str, ...]]) -> dict[PeerId, list[str]]:
    found = {peer: [maddr for maddr in maddrs if _names(maddr, peer)] for peer, maddrs in told.items()}
    return {peer: maddrs for peer, maddrs in found.items() if maddrs}


def _names(maddr: str, peer: PeerId) -> bool:
    """Whether a hostile text is the full multiaddress of this peer."""
    try:
        return split_maddr(maddr)[0] == peer
    except UserError:
        return False
