"""What the coordinator asks of the network, and its answer on a real node; tests put a swarm in memory in its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from btard.hashing import Payload
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.swarm.bans import ask_evidence
from btard.swarm.door.asking import ask_directory
from btard.swarm.door.door import call_over
from btard.swarm.lineage import ChainLink, ask_chains
from btard.swarm.questions import Head, Question, Want
from btard.swarm.records.record import MAX_ANSWERED_REPORTS, LocalMetrics, Reports
from btard.swarm.state_sync import ask_heads
from btard.swarm.transfer.download import download_state
from btard.transport.base import PeerAddress
from btard.transport.libp2p import DaemonError, FetchError, Libp2pNode, RecordError

logger = logging.getLogger(__name__)

HEAD_TIMEOUT_SECONDS = 5.0
"""Seconds in which a peer must say where it stands."""


_TRIES = 2


class SwarmNetwork(Protocol):
    """Every call ends in bounded time, and only `publish` tells why it failed."""

    async def publish(self, envelope: Envelope, ttl_seconds: float) -> None:
        """Store a signed record of this peer; raises RecordError."""

    async def read(self, run: bytes, kind: MessageKind, authors: Iterable[PeerId]) -> dict[PeerId, Envelope]:
        """Return the newest record of each author."""

    async def heads(self, peers: Iterable[PeerId]) -> dict[PeerId, Head]:
        """Return where the peers stand; those that do not answer are left out."""

    async def reach(self, address: PeerAddress) -> str | None:
        """Dial a peer: None if it answered, else why not."""

    async def call(self, peer: PeerId) -> str | None:
        """Call back a peer that has knocked: None if it answers as a peer of this run does, else why not."""

    async def connected(self) -> set[PeerId] | None:
        """Return the peers to which a connection stands, None when that is not known."""

    async def evidence(self, source: PeerId, banned: PeerId) -> bytes | None:
        """Return the evidence of a ban that a member shows, unchecked; None if it shows none."""

    async def addresses(self, peer: PeerId) -> Mapping[PeerId, tuple[str, ...]]:
        """Return where a member believes the others to be."""

    async def chains(self, peers: Iterable[PeerId]) -> list[tuple[ChainLink, ...]]:
        """Return the chains from this coordinator's roster to where the swarm is that some peers show, unchecked."""

    async def reports(self, since: Mapping[PeerId, int]) -> dict[PeerId, list[LocalMetrics]]:
        """Return what peers report of their earliest steps from one on, for each of them; silent ones are left out."""

    async def download(
        self,
        sources: Sequence[PeerId],
        question: Question,
        load: Callable[[Payload], Awaitable[bytes]],
        expected: bytes,
        *,
        limit: int,
        timeout_seconds: float,
    ) -> PeerId | None:
        """Load a state from those that serve the expected one; see `swarm.transfer.download.download_state`. Raises
        OSError where the own disk does not take it."""


class NodeNetwork:
    """The network of a Libp2pNode."""

    def __init__(self, node: Libp2pNode, manifest: bytes, arriving: Path) -> None:
        """`arriving` is the file in which states arrive."""
        self._node = node
        self._arriving = arriving
        self._manifest = manifest

    async def publish(self, envelope: Envelope, ttl_seconds: float) -> None:
        """Store a signed record of this peer; raises RecordError."""
        await self._node.records.publish(envelope, ttl_seconds)

    async def read(self, run: bytes, kind: MessageKind, authors: Iterable[PeerId]) -> dict[PeerId, Envelope]:
        """Return the newest record of each author."""
        return await self._node.records.read(run, kind, authors)

    async def heads(self, peers: Iterable[PeerId]) -> dict[PeerId, Head]:
        """Return where the peers stand; those that do not answer are left out."""
        heads = await ask_heads(self._node.transport, peers, timeout_seconds=HEAD_TIMEOUT_SECONDS)
        self._node.records.seek(heads)
        return heads

    async def reach(self, address: PeerAddress) -> str | None:
        """Dial a peer: None if it answered, else why not."""
        try:
            await self._node.transport.connect(address)
        except DaemonError as error:
            return str(error)
        return None

    async def call(self, peer: PeerId) -> str | None:
        """Call back a peer that has knocked: None if it answers as a peer of this run does, else why not."""
        return await call_over(self._node.transport, self._manifest, peer)

    async def connected(self) -> set[PeerId] | None:
        """Return the peers to which a connection stands, None when that is not known."""
        return await self._node.transport.connected()

    async def evidence(self, source: PeerId, banned: PeerId) -> bytes | None:
        """Return the evidence of a ban that a member shows, unchecked; None if it shows none."""
        return await ask_evidence(self._node.transport, source, banned, timeout_seconds=HEAD_TIMEOUT_SECONDS)

    async def addresses(self, peer: PeerId) -> Mapping[PeerId, tuple[str, ...]]:
        """Return where a member believes the others to be."""
        directory = await ask_directory(self._node.transport, peer)
        return {} if directory is None else directory.addresses

    async def chains(self, peers: Iterable[PeerId]) -> list[tuple[ChainLink, ...]]:
        """Return the chains from this coordinator's roster to where the swarm is that some peers show, unchecked."""
        return await ask_chains(self._node.transport, peers)

    async def reports(self, since: Mapping[PeerId, int]) -> dict[PeerId, list[LocalMetrics]]:
        """Return what peers report of their earliest steps from one on, for each of them; silent ones are left out."""

        async def ask(peer: PeerId, step: int) -> list[LocalMetrics] | None:
            question = Question(want=Want.REPORTS, step=step).encode()
            for _ in range(_TRIES):  # nobody else has them, and they are not asked for again
                try:
                    answer = await self._node.transport.fetch(
                        peer, question, limit=MAX_ANSWERED_REPORTS, timeout_seconds=HEAD_TIMEOUT_SECONDS
                    )
                    return Reports.decode(answer).steps
                except (FetchError, Malformed) as error:
                    logger.debug("no reports from %s: %s", peer.short, error)
            return None

        answers = await asyncio.gather(*(ask(peer, step) for peer, step in since.items()))
        return {peer: steps for peer, steps in zip(since, answers, strict=True) if steps is not None}

    async def download(
        self,
        sources: Sequence[PeerId],
        question: Question,
        load: Callable[[Payload], Awaitable[bytes]],
        expected: bytes,
        *,
        limit: int,
        timeout_seconds: float,
    ) -> PeerId | None:
        """Load a state from those that serve the expected one."""
        return await download_state(
            self._node.transport,
            sources,
            question,
            load,
            expected,
            arriving=self._arriving,
            limit=limit,
            timeout_seconds=timeout_seconds,
            raises_disk_errors=True,
        )


__all__ = ["HEAD_TIMEOUT_SECONDS", "NodeNetwork", "RecordError", "SwarmNetwork"]
