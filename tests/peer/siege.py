"""Outsiders that do to a real swarm, at once, all that somebody with free keys can do without being a member."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from hivemind.dht.protocol import DHTProtocol
from hivemind.p2p import PeerID

from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Knock, Question, Want
from btard.transport.libp2p import Libp2pNode
from btard.transport.libp2p.control import DaemonError
from btard.transport.libp2p.daemon import Daemon
from btard.transport.libp2p.discover import split_maddr
from btard.transport.libp2p.incoming import BULK_PROTOCOL, CONTROL_PROTOCOL, FETCH_PROTOCOL
from btard.transport.libp2p.outgoing import expect_nothing
from btard.transport.libp2p.pipe import Parser, Pipe, StreamLost
from btard.transport.libp2p.record_rules import expiry_of, key_of
from tests.ending import end_all

STRANGERS = 2
IDLE_CONNECTIONS = 64
PATIENCE = 10.0
"""Seconds."""


def _unread(_: Pipe) -> Parser:
    """Parse a stream of which nothing is ever read."""
    return
    yield


def _framed(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


class Siege:
    """Strangers at every door.

    Attributes:
        done: how often each kind of attack was carried out.
    """

    def __init__(self, directory: Path, manifest: RunManifest, maddrs: list[str], pages: list[tuple[str, int]]) -> None:
        self._directory = directory
        self._run = manifest.run
        self._maddrs = maddrs
        self._doors = [split_maddr(maddr) for maddr in maddrs]
        self._pages = pages
        knock = Knock(run=manifest.run_id, protocol=manifest.protocol, fingerprint=manifest.fingerprint, maddrs=[])
        self._knock = _framed(Question(want=Want.KNOCK, knock=knock).encode())
        self.done: Counter[str] = Counter()

    @property
    def kinds(self) -> int:
        """How many kinds of attack have been carried out ten times."""
        return sum(count >= 10 for count in self.done.values())

    @asynccontextmanager
    async def around(self) -> AsyncIterator[None]:
        """Attack as long as the context lasts."""
        async with contextlib.AsyncExitStack() as stack:
            tasks: list[asyncio.Task[None]] = []

            daemons = []
            for number in range(STRANGERS):
                identity = self._directory / f"stranger{number}.key"
                daemon = await Daemon.start(identity, host_maddrs=["/ip4/127.0.0.1/tcp/0"])
                stack.push_async_callback(daemon.stop)
                for peer, address in self._doors:
                    with contextlib.suppress(DaemonError):  # a liar may have been banned, and ended, by now
                        await daemon.control.connect(peer, [address], PATIENCE)
                daemons.append((daemon, IdentityKey.load_or_create(identity)))
            keeper = await Libp2pNode.create(self._directory / "keeper.key", self._maddrs)
            stack.push_async_callback(keeper.close)
            stack.push_async_callback(end_all, tasks)
            for daemon, key in daemons:
                for peer, _ in self._doors:
                    tasks += self._at(daemon, key, peer)
            tasks += [asyncio.create_task(self._records(keeper, peer)) for peer, _ in self._doors]
            tasks += [asyncio.create_task(self._idle(*page)) for page in self._pages for _ in range(IDLE_CONNECTIONS)]
            yield

    def _at(self, daemon: Daemon, key: IdentityKey, peer: PeerId) -> list[asyncio.Task[None]]:
        votes = b"".join(_framed(self._vote(key, number)) for number in range(64))
        large = _framed(self._vote(key, 0, bytes(1 << 20)))
        held = _framed(Question(want=Want.STATE).encode())
        part = struct.pack(">IQ", 1, 1 << 30) + b"h" + bytes(1 << 16)
        attacks = {
            "knocks": (FETCH_PROTOCOL, self._knock),
            "half a question": (FETCH_PROTOCOL, self._knock[:-1]),
            "a question whose answer is not read": (FETCH_PROTOCOL, held),
            "messages": (CONTROL_PROTOCOL, votes),
            "long messages": (CONTROL_PROTOCOL, large),
            "garbage": (CONTROL_PROTOCOL, os.urandom(4096)),
            "a part": (BULK_PROTOCOL, part),
        }
        return [asyncio.create_task(self._pour(daemon, peer, name, *what)) for name, what in attacks.items()]

    def _vote(self, key: IdentityKey, number: int, body: bytes = b"") -> bytes:
        step = number + 1
        return Envelope.sign(
            key, run=self._run, step=step, kind=MessageKind.VOTE, body=body or bytes([number])
        ).encode()

    async def _pour(self, daemon: Daemon, peer: PeerId, name: str, protocol: str, data: bytes) -> None:
        receive = _unread if protocol == FETCH_PROTOCOL else expect_nothing

        async def once() -> None:
            pipe = await daemon.control.open_stream(peer, protocol, receive, PATIENCE)
            await pipe.write(data, PATIENCE)

        await self._again(name, once, 0.02)

    async def _records(self, keeper: Libp2pNode, peer: PeerId) -> None:
        """Fill the DHT with records of keys that nobody knows, and show members' own records under a later expiry."""
        keys = [IdentityKey.generate() for _ in range(16)]

        async def once() -> None:
            number = int(time.time() * 1000) + 60_000
            junk = [Envelope.sign(k, run=self._run, step=number, kind=MessageKind.JOIN, body=b"{}") for k in keys]
            members = [door for door, _ in self._doors]
            found = await keeper.records.read(self._run, MessageKind.JOIN, members)
            told = [*junk, *found.values()]
            await keeper.dht.protocol.call_store(
                PeerID(bytes(peer)),
                [key_of(envelope) for envelope in told],
                [DHTProtocol.serializer.dumps(envelope.encode()) for envelope in told],
                [expiry_of(envelope.step) + 3600 for envelope in told],
            )

        await self._again("records", once, 0.1)

    async def _idle(self, host: str, port: int) -> None:
        async def once() -> None:
            reader, writer = await asyncio.open_connection(host, port)
            self.done["connections"] += 1
            try:
                await reader.read()
            finally:
                writer.close()

        await self._again("connections that ended", once, 0.1)

    async def _again(self, name: str, once: Callable[[], Awaitable[None]], pause: float) -> None:
        while True:
            with contextlib.suppress(DaemonError, StreamLost, OSError, asyncio.IncompleteReadError):
                await once()
                self.done[name] += 1
            await asyncio.sleep(pause)
