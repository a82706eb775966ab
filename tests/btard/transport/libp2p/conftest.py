"""Real nodes over loopback, an inbox that remembers, and a bare p2pd for peers that lie."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import thread_time
from typing import Any

import pytest

from btard.identity import PeerId
from btard.transport.libp2p import Libp2pNode
from btard.transport.libp2p.daemon import Daemon
from btard.transport.libp2p.outgoing import expect_nothing
from btard.transport.libp2p.pipe import Pipe

DEADLINE = 60.0


async def until(condition: Callable[[], Any], timeout: float = DEADLINE) -> None:
    """Wait until the condition holds; TimeoutError after `timeout` seconds."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - conditions are about other processes, which set no event here
            await asyncio.sleep(0.01)


class Recorder:
    """An inbox that accepts parts up to a size and keeps everything."""

    def __init__(self, most: int = 64 << 20) -> None:
        self.most = most
        self.messages: list[tuple[PeerId, bytes]] = []
        self.parts: list[tuple[PeerId, bytes, memoryview, bytes]] = []
        self.announced: list[int] = []
        self.failed: list[tuple[PeerId, bytes]] = []

    def on_message(self, sender: PeerId, data: bytes) -> None:
        self.messages.append((sender, data))

    def accept_part(self, sender: PeerId, header: bytes, length: int) -> memoryview | None:
        self.announced.append(length)
        return memoryview(bytearray(length)) if length <= self.most else None

    def on_part(self, sender: PeerId, header: bytes, payload: memoryview, digest: bytes) -> bool:
        self.parts.append((sender, header, payload, digest))
        return False

    def on_part_failed(self, sender: PeerId, header: bytes) -> None:
        self.failed.append((sender, header))


class Swarm:
    """Makes nodes and bare daemons, and ends them with the test."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: list[Libp2pNode | Daemon] = []
        self.identities: list[Path] = []
        """Key files in the order in which peers were made."""

    def identity(self) -> Path:
        """The key file of the next peer."""
        return self._directory / f"peer{len(self._made)}.key"

    async def node(self, *initial: Libp2pNode, **options: Any) -> tuple[Libp2pNode, Recorder]:
        """A node that joined through `initial`, with its inbox."""
        inbox = options.pop("inbox", None) or Recorder()
        maddrs = [maddr for node in initial for maddr in node.maddrs]
        self.identities.append(self.identity())
        node = await Libp2pNode.create(self.identities[-1], maddrs, inbox=inbox, **options)
        self._made.append(node)
        return node, inbox

    async def liar(self, victim: Libp2pNode) -> Daemon:
        """A p2pd without our protocol, connected to `victim`."""
        self.identities.append(self.identity())
        daemon = await Daemon.start(self.identities[-1], host_maddrs=["/ip4/127.0.0.1/tcp/0"])
        self._made.append(daemon)
        await daemon.control.connect(victim.peer_id, [maddr.split("/p2p/")[0] for maddr in victim.maddrs], 10)
        return daemon

    async def close(self) -> None:
        await asyncio.gather(*(one.close() if isinstance(one, Libp2pNode) else one.stop() for one in self._made))


@pytest.fixture
async def swarm(tmp_path: Path) -> AsyncIterator[Swarm]:
    made = Swarm(tmp_path)
    try:
        yield made
    finally:
        await made.close()


async def raw_stream(liar: Daemon, victim: Libp2pNode, protocol: str) -> Pipe:
    """A stream on which the test writes what it likes."""
    return await liar.control.open_stream(victim.peer_id, protocol, expect_nothing, 10)


def burn(seconds: float) -> None:
    """Use up processor time of this thread."""
    until = thread_time() + seconds
    while thread_time() < until:
        pass


def part_prefix(header: int, payload: int) -> bytes:
    """The announcement of a part, written independently of the code under test."""
    return struct.pack(">IQ", header, payload)
