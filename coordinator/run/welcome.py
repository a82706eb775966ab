"""Waits for the first peers of a run and forms the first roster; later ones are admitted by the peers themselves."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import replace

from btard.coordinator.network.network import SwarmNetwork
from btard.identity import PeerId
from btard.round.roster import Roster, first_randomness
from btard.swarm.door.door import Door
from btard.swarm.events.coordinator import CoordinatorEvent, FirstRosterAwaited, PeerRefused, PeerWelcomed, awaited
from btard.swarm.events.log import EventLog
from btard.swarm.manifest import RunManifest

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.3
"""Seconds between two looks at the waiting peers."""

TELL_PERIOD_SECONDS = 10.0
"""Seconds between two lines that tell how many are there."""

MAX_REFUSALS = 1024
"""Refusals that are told; of a flood of made-up peers the rest is refused silently."""

_MEMORY = 4096


class Welcome:
    """Keeps the coordinator's door until enough wait there, and tells which peers wait and which were refused.

    Attributes:
        door: answers peers that knock.
    """

    def __init__(self, network: SwarmNetwork, manifest: RunManifest, log: EventLog[CoordinatorEvent]) -> None:
        self._manifest = manifest
        self._log = log
        self._waiting: tuple[PeerId, ...] = ()
        self._welcomed: set[PeerId] = set()
        self._told = 0
        self._refused: set[tuple[PeerId, str]] = set()
        self.door = Door(manifest, network.call, network.connected, tell=self._refuse)

    async def first_roster(self) -> Roster:
        """Return the first roster once enough peers wait, however long that takes."""
        manifest = self._manifest
        self.door.open((), ())
        calling = asyncio.ensure_future(self.door.run())
        tell_at = -math.inf
        try:
            while True:
                members = await self.look()
                if not members and time.monotonic() >= tell_at:
                    tell_at = time.monotonic() + TELL_PERIOD_SECONDS
                    self._tell_awaited()
                if len(members) >= manifest.peers:
                    randomness = first_randomness(manifest.seed, manifest.start_step)
                    clients = tuple(sorted(self.door.clients().intersection(members)))
                    roster = Roster(manifest.start_step, tuple(sorted(members)), frozenset(), randomness)
                    return replace(roster, clients=clients)
                await asyncio.wait({calling}, timeout=POLL_SECONDS)
                if calling.done():
                    calling.result()
        finally:
            self.door.close()
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)

    async def look(self) -> tuple[PeerId, ...]:
        """Tell which peers have come and gone, and return the first roster's, all of which have just answered."""
        waiting = tuple(self.door.waiting())
        for peer in self._waiting:
            if peer not in waiting:
                logger.info("%s is gone again: %d of %d", peer, len(waiting), self._manifest.peers)
        for count, peer in enumerate(waiting, 1):
            if peer not in self._waiting:
                self._take_in(peer, count)
        self._waiting = waiting
        chosen = self._choose(waiting)
        if len(chosen) < self._manifest.peers:
            return ()
        there = await asyncio.gather(*(self.door.call_back(peer) for peer in chosen))
        return chosen if all(there) else ()

    def _tell_awaited(self) -> None:
        here, wanted = len(self._waiting), self._manifest.peers
        logger.info("%s", awaited(here, wanted))
        if here != self._told:
            self._told = here
            self._log.write(FirstRosterAwaited(here=here, wanted=wanted))

    def _choose(self, waiting: tuple[PeerId, ...]) -> tuple[PeerId, ...]:
        """Return those that the first roster takes, at most half of them clients, in the order in which they came."""
        clients, wanted = self.door.clients(), self._manifest.peers
        taken = [peer for peer in waiting if peer in clients][: wanted // 2]
        return tuple(peer for peer in waiting if peer not in clients or peer in taken)[:wanted]

    def _take_in(self, peer: PeerId, count: int) -> None:
        wanted = self._manifest.peers
        logger.info("welcomed %s (%d of %d)", peer, count, wanted)
        if peer not in self._welcomed and len(self._welcomed) < _MEMORY:
            self._welcomed.add(peer)
            self._told = count
            self._log.write(PeerWelcomed(peer=str(peer), count=count, wanted=wanted))

    def _refuse(self, peer: PeerId, reason: str, detail: str = "") -> None:
        """Tell once why a peer is not welcome; the detail may differ each time."""
        if (peer, reason) in self._refused or len(self._refused) >= MAX_REFUSALS:
            return
        self._refused.add((peer, reason))
        logger.warning("%s is not welcome: %s%s", peer, reason, f" ({detail[:200]!r})" if detail else "")
        self._log.write(PeerRefused(peer=str(peer), reason=reason))
