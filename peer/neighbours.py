"""Announces this peer in the DHT, learns where the others are, and whom to admit."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterable

from btard.identity import IdentityKey, MessageKind, PeerId
from btard.round.admission import Doorstep
from btard.round.roster import Roster
from btard.transport.base import PeerAddress
from btard.transport.libp2p import DaemonError, Libp2pNode, RecordError
from peer.manifest import RunManifest
from peer.records import MAX_AGE, Join, joins_key, read_records

logger = logging.getLogger(__name__)

_MOST_ADDRESSES = 8
_EAGER, _CALM = 0.5, 5.0
_WAIT_AFTER_SUSPENSION = 10


class Neighbours:
    """Keeps a JOIN record fresh, and reads those of the others.

    Attributes:
        eager: look often, while the first roster is forming or this peer wants in.
    """

    def __init__(self, node: Libp2pNode, key: IdentityKey, manifest: RunManifest) -> None:
        self._node = node
        self._key = key
        self._manifest = manifest
        self._known: dict[PeerId, Join] = {}
        self._not_before: dict[PeerId, int] = {}
        self._last_life: dict[PeerId, float] = {}
        self._doorstep = Doorstep()
        self._announced = -math.inf
        self.eager = True

    async def run(self) -> None:
        """Announce and look until cancelled."""
        while True:
            if time.monotonic() - self._announced > MAX_AGE / 4:
                try:
                    await self._announce()
                    self._announced = time.monotonic()
                except RecordError as error:
                    logger.warning("cannot announce this peer: %s", error)
            await self._look()
            await asyncio.sleep(_EAGER if self.eager else _CALM)

    async def locate(self, members: Iterable[PeerId], patience: float) -> None:
        """Look until these peers' addresses are known, or for `patience` seconds: p2pd may find them by itself."""
        deadline = time.monotonic() + patience
        others = set(members) - {self._key.peer_id}
        while not others <= self._known.keys() and time.monotonic() < deadline:
            await asyncio.sleep(_EAGER / 2)
            await self._look()

    async def _announce(self) -> None:
        join = Join(
            fingerprint=self._manifest.fingerprint, maddrs=list(self._node.maddrs[:_MOST_ADDRESSES]), time=time.time()
        )
        envelope = join.sign(self._key, self._manifest.run, MessageKind.JOIN)
        await self._node.records.publish(joins_key(self._manifest.run), envelope, MAX_AGE)

    async def _look(self) -> None:
        run = self._manifest.run
        found = read_records(await self._node.records.read(joins_key(run)), Join, run, MessageKind.JOIN)
        self._known = {
            peer: join
            for peer, join in found.items()
            if join.recent and join.fingerprint == self._manifest.fingerprint and peer != self._key.peer_id
        }
        for peer, join in self._known.items():
            try:
                self._node.transport.remember(PeerAddress(peer, tuple(join.maddrs)))
            except DaemonError as error:
                logger.warning("%s announces no usable address: %s", peer.short, error)

    def gone(self, peer: PeerId, step: int) -> None:
        """A peer was left out or has left: admit it only some steps later, and only after a new sign of life."""
        self._not_before[peer] = step + _WAIT_AFTER_SUSPENSION
        if peer in self._known:
            self._last_life[peer] = self._known[peer].time

    def announce_again(self) -> None:
        """Publish a new JOIN record at the next look: the members want a sign of life after an absence."""
        self._announced = -math.inf

    def candidates(self, roster: Roster) -> tuple[PeerId, ...]:
        """Return whom this peer would admit after the step of `roster`, ascending; ask when the step begins."""
        waiting = [
            peer
            for peer, join in self._known.items()
            if self._not_before.get(peer, 0) <= roster.step and join.time > self._last_life.get(peer, -math.inf)
        ]
        return self._doorstep.names(roster, waiting)
