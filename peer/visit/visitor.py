"""Getting from an address as typed to the records of a swarm, with a key that lives as long as the visit."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from btard.identity import PeerId
from btard.transport.libp2p import Libp2pNode
from btard.transport.libp2p.discover import resolve_initial_peers, split_maddr
from btard.transport.libp2p.node import LOOPBACK


@asynccontextmanager
async def visiting(
    initial_peers: Sequence[str],
    timeout_seconds: float,
    *,
    host_maddrs: Sequence[str] = LOOPBACK,
    announce_maddrs: Sequence[str] = (),
    public: bool = False,
) -> AsyncIterator[tuple[Libp2pNode, set[PeerId]]]:
    """Visit the swarm behind some addresses; yields a node and the ids of the peers at the addresses.

    The node is a client: the others neither store records with it nor count it as a DHT node.

    Args:
        initial_peers: as `--initial-peers` takes them.
        timeout_seconds: seconds for each hop: finding out which peer answers there, starting p2pd, dialling.
        host_maddrs: where p2pd listens.
        announce_maddrs: addresses to tell others instead of those found.
        public: use NAT port mapping, hole punching and AutoNAT.

    Raises:
        UserError: names the hop that failed.
    """
    maddrs = await resolve_initial_peers(initial_peers, timeout_seconds)
    known = {split_maddr(maddr)[0] for maddr in maddrs}
    with tempfile.TemporaryDirectory(prefix="btard-visit-") as directory:
        node = await Libp2pNode.create(
            Path(directory) / "identity.key",
            maddrs,
            startup_timeout_seconds=timeout_seconds,
            host_maddrs=host_maddrs,
            announce_maddrs=announce_maddrs,
            public=public,
            client=True,
        )
        try:
            yield node, known
        finally:
            await node.close()
