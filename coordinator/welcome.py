"""Waits for the first peers of a run and forms the first roster; later ones are admitted by the peers themselves."""

from __future__ import annotations

import asyncio
import logging

from btard.identity import MessageKind, PeerId
from btard.round.roster import Roster, first_randomness
from btard.transport.base import PeerAddress
from coordinator.events import CoordinatorEvent
from coordinator.network import Network
from peer.event_log import EventLog
from peer.manifest import RunManifest
from peer.records import Join, read_records

logger = logging.getLogger(__name__)

POLL = 0.3
"""Seconds between two looks at who wants to join."""

MAX_REFUSALS = 1024
"""Refusals that are told; of a flood of made-up peers the rest is refused silently."""

_CHECKED_AT_ONCE = 32
_MEMORY = 4096


class Welcome:
    """Knows who waits, in the order of arrival, and who was refused."""

    def __init__(self, network: Network, manifest: RunManifest, log: EventLog) -> None:
        self._network = network
        self._manifest = manifest
        self._log = log
        self._waiting: dict[PeerId, None] = {}
        self._welcomed: set[PeerId] = set()
        self._refused: set[tuple[PeerId, str]] = set()
        self._turn = 0

    async def first_roster(self) -> Roster:
        """Return the first roster once enough peers wait, however long that takes."""
        manifest = self._manifest
        while True:
            await self.look()
            if len(self._waiting) >= manifest.peers:
                members = tuple(sorted(list(self._waiting)[: manifest.peers]))
                randomness = first_randomness(manifest.seed, manifest.start_step)
                return Roster(manifest.start_step, members, frozenset(), randomness)
            await asyncio.sleep(POLL)

    async def look(self) -> None:
        """Read who wants to join, and take in those who fit and can be dialled."""
        manifest = self._manifest
        # Newcomers are found among the nodes of the DHT that the coordinator has met.
        records = await self._network.read(manifest.run, MessageKind.JOIN, self._network.met())
        found = read_records(records, Join, manifest.run, MessageKind.JOIN)
        fitting = {peer: join for peer, join in found.items() if self._fits(peer, join)}
        for peer in [peer for peer in self._waiting if peer not in fitting]:
            self._lose(peer, "it has stopped announcing itself")
        chosen = self._to_check(fitting)
        answers = await asyncio.gather(
            *(self._network.reach(PeerAddress(peer, tuple(fitting[peer].maddrs))) for peer in chosen)
        )
        for peer, failure in zip(chosen, answers, strict=True):
            if failure is None:
                self._take_in(peer)
            elif peer in self._waiting:
                self._lose(peer, failure)
            else:
                self._refuse(peer, "it cannot be reached", failure)

    def _to_check(self, fitting: dict[PeerId, Join]) -> list[PeerId]:
        """Those who wait, and a few of the others in turn: a flood of made-up addresses must not hold up the rest."""
        others = sorted(peer for peer in fitting if peer not in self._waiting)
        start = self._turn % len(others) if others else 0
        self._turn = start + _CHECKED_AT_ONCE
        rotated = others[start:] + others[:start]
        return [*list(self._waiting)[: self._manifest.peers], *rotated[:_CHECKED_AT_ONCE]]

    def _fits(self, peer: PeerId, join: Join) -> bool:
        if not join.recent:
            self._refuse(peer, "its announcement is old, or its clock is wrong")
            return False
        if join.fingerprint != self._manifest.fingerprint:
            self._refuse(peer, "it trains on other data", f"fingerprint {join.fingerprint[:16]}")
            return False
        return True

    def _take_in(self, peer: PeerId) -> None:
        if peer in self._waiting or len(self._waiting) >= _MEMORY:
            return
        self._waiting[peer] = None
        count, wanted = len(self._waiting), self._manifest.peers
        logger.info("welcomed %s (%d of %d)", peer, count, wanted)
        if peer not in self._welcomed and len(self._welcomed) < _MEMORY:
            self._welcomed.add(peer)
            self._log.write(CoordinatorEvent.WELCOMED, peer=peer, count=count, wanted=wanted)

    def _lose(self, peer: PeerId, why: str) -> None:
        del self._waiting[peer]
        logger.info("%s is gone again (%s): %d of %d", peer, why[:200], len(self._waiting), self._manifest.peers)

    def _refuse(self, peer: PeerId, reason: str, detail: str = "") -> None:
        """Tell once why a peer is not welcome; the detail may differ each time."""
        if (peer, reason) in self._refused or len(self._refused) >= MAX_REFUSALS:
            return
        self._refused.add((peer, reason))
        logger.warning("%s is not welcome: %s%s", peer, reason, f" ({detail[:200]!r})" if detail else "")
        self._log.write(CoordinatorEvent.REFUSED, peer=peer, reason=reason)
