"""Announces this peer, learns where the members are, and which peers at the door to name as candidates."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterable, Mapping

from btard.identity import IdentityKey, MessageKind, PeerId
from btard.peer.meeting.acquaintances import AcquaintanceBook
from btard.peer.meeting.knocking import Knocker
from btard.peer.meeting.rosters import Rosters
from btard.round.admission import Doorstep
from btard.round.messages.bodies import Candidates
from btard.round.roster import Roster
from btard.swarm.door.asking import ask_directory
from btard.swarm.door.door import Door
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import MAX_MADDRS, Directory
from btard.swarm.records.record import MAX_AGE_SECONDS, Join, read_records
from btard.transport.base import PeerAddress
from btard.transport.libp2p import DaemonError, Libp2pNode, RecordError

logger = logging.getLogger(__name__)

_EAGER_SECONDS, _CALM_SECONDS = 0.5, 5.0
_ANNOUNCE_AGAIN_SECONDS = 3.0
_ASK_AGAIN_SECONDS = 3.0
_REREAD_SECONDS = 60.0


class Neighbours:
    """Keeps a JOIN record of this peer fresh, and reads those of the members.

    Args:
        named: the peers that the user named, and where.

    Attributes:
        eager: look often, while the first roster is forming or this peer wants in.
    """

    def __init__(
        self,
        node: Libp2pNode,
        key: IdentityKey,
        manifest: RunManifest,
        named: Mapping[PeerId, tuple[str, ...]],
        rosters: Rosters,
        door: Door,
        knocker: Knocker,
        book: AcquaintanceBook,
    ) -> None:
        self._node = node
        self._key = key
        self._manifest = manifest
        self._rosters = rosters
        self._door = door
        self._knocker = knocker
        self._book = book
        self._named = frozenset((*named, rosters.coordinator)) - {key.peer_id}
        self._members: frozenset[PeerId] = frozenset()
        self._told = {peer: maddrs for peer, maddrs in named.items() if peer != key.peer_id}
        self._signed: dict[PeerId, tuple[str, ...]] = {}
        self._announce_at = -math.inf
        self._reread_at = -math.inf
        self._ask_at = -math.inf
        self._doorstep = Doorstep()
        self.eager = True

    def knows(self, peer: PeerId) -> bool:
        """Whether the DHT node of this peer keeps records of an author: no stranger's."""
        return peer in self._named or peer in self._members or self._door.is_guest(peer)

    async def run(self) -> None:
        """Announce and look until cancelled."""
        while True:
            now = time.monotonic()
            if self.eager and self._rosters.coordinator not in self._told and now >= self._ask_at:
                self._ask_at = now + _ASK_AGAIN_SECONDS
                await self.ask_around()
            if now >= self._announce_at and (self._knocker.heard or self._key.peer_id in self._members):
                await self._announce()
            if now >= self._reread_at:
                self._reread_at = now + _REREAD_SECONDS
                # Kept to be handed on: the coordinator may be gone when somebody asks.
                await self._rosters.look()
                await self._read_joins(self._others)
            else:
                await self._read_joins(self._others - self._signed.keys())
            self._book.note(self._others, self._told | self._signed)
            await asyncio.sleep(_EAGER_SECONDS if self.eager else _CALM_SECONDS)

    def stand(self, members: Iterable[PeerId]) -> None:
        """The members are these from now on; where newcomers among them are, they have told at the door."""
        now = frozenset(members)
        if now == self._members:
            return
        waiting = self._door.waiting()
        for peer in (now - self._members) & waiting.keys():
            self._signed.pop(peer, None)
            self._tell(peer, waiting[peer])
        self._members = now
        for known in (self._told, self._signed):
            for peer in known.keys() - now - self._named:
                del known[peer]

    async def locate(self, members: Iterable[PeerId], patience_seconds: float) -> None:
        """Ask around and look until the members' addresses are known, or for `patience_seconds`.

        p2pd may find them by itself.
        """
        deadline = time.monotonic() + patience_seconds
        self.stand(members)
        await self.ask_around()
        while (unknown := self._others - self._told.keys() - self._signed.keys()) and time.monotonic() < deadline:
            await self._read_joins(unknown)
            await asyncio.sleep(_EAGER_SECONDS / 2)

    async def ask_around(self) -> None:
        """Ask the named peers and the coordinator where the others are."""

        found = await asyncio.gather(*(ask_directory(self._node.transport, peer) for peer in self._named))
        for directory in found:
            for peer, maddrs in directory.addresses.items() if directory is not None else ():
                wanted = peer in self._others or peer == self._rosters.coordinator
                # What a peer says of itself is better than what others say of it.
                if wanted and peer not in self._signed and peer not in self._told:
                    self._tell(peer, maddrs)

    def directory(self) -> Directory:
        """Return what this peer tells others of where everybody is."""
        own = {self._key.peer_id: self._node.maddrs}
        return Directory(self._told | self._signed | own, tuple(self._door.waiting()))

    def gone(self, peer: PeerId) -> None:
        """A peer was left out or has left: admit it only after it has knocked again."""
        self._door.forget(peer)

    def announce_again(self) -> None:
        """Publish a new JOIN record at the next look."""
        self._announce_at = -math.inf

    def candidates(self, roster: Roster) -> Candidates:
        """Return the peers that this one admits after the step of `roster`; ask when the step begins."""
        named, clients = self._doorstep.names(roster, self._door.waiting()), self._door.clients()
        return Candidates(named, tuple(peer for peer in named if peer in clients))

    @property
    def _others(self) -> frozenset[PeerId]:
        return self._members - {self._key.peer_id}

    def _tell(self, peer: PeerId, maddrs: tuple[str, ...]) -> None:
        self._told[peer] = maddrs
        self._remember(peer, maddrs)

    async def _announce(self) -> None:
        join = Join(
            fingerprint=self._manifest.fingerprint,
            maddrs=list(self._node.maddrs[:MAX_MADDRS]),
            time=time.time(),
            client=self._knocker.client,
        )
        try:
            await self._node.records.publish(
                join.sign(self._key, self._manifest.run, MessageKind.JOIN), MAX_AGE_SECONDS
            )
            self._announce_at = time.monotonic() + MAX_AGE_SECONDS / 4
        except RecordError as error:
            logger.warning("cannot announce this peer: %s", error)
            self._announce_at = time.monotonic() + _ANNOUNCE_AGAIN_SECONDS

    async def _read_joins(self, authors: frozenset[PeerId]) -> None:
        """Read where some members say that they are."""
        if not authors:
            return
        run = self._manifest.run
        found = read_records(await self._node.records.read(run, MessageKind.JOIN, authors), Join, run, MessageKind.JOIN)
        for peer, join in found.items():
            if self._signed.get(peer) != (maddrs := tuple(join.maddrs)):
                self._signed[peer] = maddrs
                self._remember(peer, maddrs)

    def _remember(self, peer: PeerId, maddrs: tuple[str, ...]) -> None:
        try:
            self._node.transport.remember(PeerAddress(peer, maddrs))
        except DaemonError as error:
            logger.warning("%s announces no usable address: %s", peer.short, error)
