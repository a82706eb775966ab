"""p2pd's control socket: the own id, dial, open a stream, receive streams. Every call has a deadline.

hivemind's own client leaves sockets open when a call is cancelled and reads streams through a buffer that copies; the
wire format (length-prefixed protobuf over a unix socket) is small enough to be spoken here.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from hivemind.proto import p2pd_pb2
from hivemind.utils.multiaddr import Multiaddr

from btard.identity import PeerId
from btard.identity.peer_id import PEER_ID_SIZE
from btard.transport.libp2p.pipe import Parser, Pipe, StreamLost, StreamViolation, fill

_MAX_REPLY = 1 << 20
_MAX_VARINT = 4


_P2P, _CIRCUIT = b"\xa5\x03", b"\xa2\x02"
"""Codes of the parts `/p2p/...` and `/p2p-circuit` of a multiaddress."""

_OVER_BYTES = 3 + PEER_ID_SIZE + 2
_OVER = re.compile(r"/p2p/(?P<relay>[1-9A-HJ-NP-Za-km-z]{1,128})/p2p-circuit$")


class DaemonError(Exception):
    """p2pd refused a request, or did not answer in time."""


@dataclass(frozen=True)
class Neighbour:
    """A peer to which a connection stands, and over which other peer; None for one that needs none."""

    peer: PeerId
    relay: PeerId | None


def varint(value: int) -> bytes:
    """Return a number as protobuf writes lengths."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_message(store: Callable[[bytes], None], *, most: int = _MAX_REPLY) -> Parser:
    """Parse one length-prefixed message of at most so many bytes, and hand them to `store`."""
    length = 0
    byte = memoryview(bytearray(1))
    for position in range(_MAX_VARINT):
        yield from fill(byte)
        length |= (byte[0] & 0x7F) << (7 * position)
        if byte[0] < 0x80:
            break
    if length > most:
        raise StreamViolation(f"a message of {length} bytes is announced")
    data = bytearray(length)
    yield from fill(memoryview(data))
    store(bytes(data))


def _address(text: str) -> bytes:
    """Return a multiaddress, perhaps over a relay, as p2pd reads it: hivemind writes the id in it in another form."""
    match = _OVER.search(text)
    if match is None:
        return Multiaddr(text).to_bytes()
    return Multiaddr(text[: match.start()]).to_bytes() + _through(PeerId.parse(match["relay"]))


def _through(relay: PeerId) -> bytes:
    return _P2P + varint(len(relay)) + bytes(relay) + _CIRCUIT


def relay_in(*addresses: bytes) -> PeerId | None:
    """Return over which peer a connection goes, by its multiaddress; None for a direct one."""
    for address in addresses:
        last = address[-_OVER_BYTES:]
        if last[:3] == _P2P + varint(PEER_ID_SIZE) and last[-2:] == _CIRCUIT:
            with contextlib.suppress(ValueError):
                return PeerId(last[3:-2])
    return None


class ControlSocket:
    """Requests to the p2pd that listens on `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def identify(self, timeout_seconds: float) -> tuple[bytes, tuple[str, ...]]:
        """Return the daemon's raw peer id and the multiaddresses it believes to have.

        Raises:
            DaemonError: no answer within `timeout_seconds`, or a refusal.
        """
        reply = await self._ask(p2pd_pb2.Request(type=p2pd_pb2.Request.IDENTIFY), timeout_seconds)
        return reply.identify.id, tuple(str(Multiaddr(raw)) for raw in reply.identify.addrs)

    async def connect(self, peer: PeerId, maddrs: Sequence[str], timeout_seconds: float) -> None:
        """Dial a peer at these multiaddresses (without `/p2p/...`); raises DaemonError when none answers in time."""
        await self._connect(peer, [_address(text) for text in maddrs], timeout_seconds)

    async def connect_over(self, peer: PeerId, relays: Sequence[PeerId], timeout_seconds: float) -> None:
        """Connect to a peer over one of these neighbours; raises DaemonError when none leads to it in time."""
        await self._connect(peer, [_through(relay) for relay in relays], timeout_seconds)

    async def _connect(self, peer: PeerId, addresses: Sequence[bytes], timeout_seconds: float) -> None:
        connect = p2pd_pb2.ConnectRequest(peer=bytes(peer), addrs=addresses, timeout=max(1, int(timeout_seconds)))
        await self._ask(p2pd_pb2.Request(type=p2pd_pb2.Request.CONNECT, connect=connect), timeout_seconds)

    async def disconnect(self, peer: PeerId, timeout_seconds: float) -> None:
        """Close the connection to a peer; raises DaemonError when the daemon does not answer in time."""
        disconnect = p2pd_pb2.DisconnectRequest(peer=bytes(peer))
        await self._ask(p2pd_pb2.Request(type=p2pd_pb2.Request.DISCONNECT, disconnect=disconnect), timeout_seconds)

    async def connected(self, timeout_seconds: float) -> set[PeerId]:
        """Return the peers with Ed25519 keys to which a connection stands, in either direction.

        Raises:
            DaemonError: no answer within `timeout_seconds`, or more than fit into one.
        """
        return {neighbour.peer for neighbour in await self.neighbours(timeout_seconds)}

    async def neighbours(self, timeout_seconds: float) -> list[Neighbour]:
        """Return the peers with Ed25519 keys to which a connection stands, once for each.

        Raises:
            DaemonError: no answer within `timeout_seconds`, or more than fit into one.
        """
        reply = await self._ask(p2pd_pb2.Request(type=p2pd_pb2.Request.LIST_PEERS), timeout_seconds)
        found = []
        for info in reply.peers:
            with contextlib.suppress(ValueError):
                found.append(Neighbour(PeerId(info.id), relay_in(*info.addrs)))
        return found

    async def protect(self, peer: PeerId, weight: int, timeout_seconds: float) -> None:
        """Have the daemon close others first when it has too many connections, as long as it is connected to a peer.

        Args:
            peer: whose connections matter.
            weight: how much; those of the least total weight are closed first.
            timeout_seconds: seconds.

        Raises:
            DaemonError: the daemon does not answer in time.
        """
        tag = p2pd_pb2.ConnManagerRequest(
            type=p2pd_pb2.ConnManagerRequest.TAG_PEER, peer=bytes(peer), tag="member", weight=weight
        )
        await self._ask(p2pd_pb2.Request(type=p2pd_pb2.Request.CONNMANAGER, connManager=tag), timeout_seconds)

    async def register(self, protocols: Sequence[str], listener: Path, timeout_seconds: float) -> None:
        """Have the daemon forward incoming streams of these protocols to the unix socket `listener`."""
        handler = p2pd_pb2.StreamHandlerRequest(
            addr=Multiaddr(f"/unix{listener}").to_bytes(), proto=list(protocols), balanced=False
        )
        await self._ask(p2pd_pb2.Request(type=p2pd_pb2.Request.STREAM_HANDLER, streamHandler=handler), timeout_seconds)

    async def open_stream(
        self,
        peer: PeerId,
        protocol: str,
        parser: Callable[[Pipe], Parser],
        timeout_seconds: float,
        on_lost: Callable[[Pipe], None] | None = None,
    ) -> Pipe:
        """Open a stream to a peer; what it sends back goes to `parser`.

        Raises:
            DaemonError: the peer cannot be reached, does not speak the protocol, or `timeout_seconds` passed.
        """
        opening = p2pd_pb2.StreamOpenRequest(peer=bytes(peer), proto=[protocol])
        request = p2pd_pb2.Request(type=p2pd_pb2.Request.STREAM_OPEN, streamOpen=opening)
        pipe, reply = await self._exchange(request, parser, timeout_seconds, on_lost)
        if reply.streamInfo.peer != bytes(peer):
            pipe.abort()
            raise DaemonError("p2pd opened a stream to another peer")
        pipe.relay = relay_in(reply.streamInfo.addr)
        return pipe

    async def _ask(self, request: Any, timeout_seconds: float) -> Any:
        pipe, reply = await self._exchange(request, lambda _: fill(memoryview(b"")), timeout_seconds, None)
        pipe.abort()
        return reply

    async def _exchange(
        self,
        request: Any,
        parser: Callable[[Pipe], Parser],
        timeout_seconds: float,
        on_lost: Callable[[Pipe], None] | None,
    ) -> tuple[Pipe, Any]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()

        def store(data: bytes) -> None:
            if not answer.done():
                answer.set_result(data)

        def lost(pipe: Pipe) -> None:
            if not answer.done():
                answer.set_exception(DaemonError("p2pd closed its control connection"))
            elif on_lost is not None:
                on_lost(pipe)

        def reply_then_rest(pipe: Pipe) -> Parser:
            yield from read_message(store)
            yield from parser(pipe)

        pipe: Pipe | None = None
        try:
            async with asyncio.timeout(timeout_seconds):
                _, pipe = await loop.create_unix_connection(lambda: Pipe(reply_then_rest, lost), str(self._path))
                body = request.SerializeToString()
                await pipe.write(varint(len(body)) + body, timeout_seconds)
                reply = p2pd_pb2.Response.FromString(await answer)
        except TimeoutError:
            self._discard(pipe, answer)
            raise DaemonError(f"no answer within {timeout_seconds:g} s") from None
        except (OSError, StreamLost, DecodeError) as error:
            self._discard(pipe, answer)
            raise DaemonError(f"p2pd cannot be asked: {error}") from None
        except (asyncio.CancelledError, DaemonError):
            self._discard(pipe, answer)
            raise
        if reply.type == p2pd_pb2.Response.ERROR:
            pipe.abort()
            raise DaemonError(reply.error.msg[:500])
        return pipe, reply

    @staticmethod
    def _discard(pipe: Pipe | None, answer: asyncio.Future[bytes]) -> None:
        # A cancelled future takes no result any more, and nobody is told of an exception that nobody awaits.
        answer.cancel()
        if pipe is not None:
            pipe.abort()
