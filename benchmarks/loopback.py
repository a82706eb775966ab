"""A peer of a benchmark: a process with a node of its own on loopback, which knows all others."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.usage import PATIENCE_SECONDS
from btard.identity import IdentityKey, PeerId
from btard.transport.base import PeerAddress
from btard.transport.libp2p import Libp2pNode
from btard.transport.libp2p.discover import split_maddr


@dataclass(frozen=True)
class LoopbackPeer:
    """What a process has got once it knows the others.

    Attributes:
        index: its own place among `peers`.
        peers: all of them, in the order in which the parent started them.
        worker: one thread for what the event loop must not wait for.
    """

    index: int
    peers: list[PeerId]
    node: Libp2pNode
    key: IdentityKey
    worker: ThreadPoolExecutor


@asynccontextmanager
async def loopback_peer(index: int, pipe: Connection) -> AsyncIterator[LoopbackPeer]:
    """Start a node, tell the parent its address, and connect to the peers that it names; ends the node in the end."""
    with tempfile.TemporaryDirectory() as directory:
        identity = Path(directory) / "identity.key"
        key = IdentityKey.load_or_create(identity)
        node = await Libp2pNode.create(identity, startup_timeout_seconds=PATIENCE_SECONDS)
        worker = ThreadPoolExecutor(1)
        try:
            pipe.send(node.maddrs[0])
            addresses = [split_maddr(text) for text in pipe.recv()]
            for peer, maddr in addresses[index + 1 :]:
                await node.transport.connect(PeerAddress(peer, (maddr,)))
            yield LoopbackPeer(index, [peer for peer, _ in addresses], node, key, worker)
        finally:
            await node.close()
            worker.shutdown()
