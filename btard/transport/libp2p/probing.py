"""Questions about the network itself: can others dial this machine, and what does another peer's clock say.

Whether others can dial us is asked by libp2p's AutoNAT (protocol version 1): the helper opens a new connection to the
addresses that we name, which have to be at the address that it sees us at. A p2pd answers it when it was started with
`--public`. hivemind's own ping cannot tell, since its answer comes back over the connection that we opened.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from hivemind.dht import DHTNode
from hivemind.p2p import PeerID
from hivemind.proto import dht_pb2
from hivemind.utils.multiaddr import Multiaddr

from btard.identity import PeerId
from btard.transport.libp2p.control import ControlSocket, DaemonError, read_message, varint
from btard.transport.libp2p.pipe import StreamLost

_AUTONAT = "/libp2p/autonat/1.0.0"
_OK, _DIAL_ERROR, _REFUSED = 0, 100, 101
_MAX_TEXT = 300
_VARINT, _BYTES = 0, 2


class Reach(Enum):
    """What came of asking to be dialled back."""

    REACHED = "reached"
    UNREACHED = "unreached"
    REFUSED = "refused"
    """The helper does not dial such addresses, such as private ones."""
    NOT_OFFERED = "not offered"
    """The helper answers no such request."""

    @property
    def order(self) -> int:
        """Smaller is worth more: one helper that reaches us outweighs another that does not."""
        return list(Reach).index(self)


@dataclass(frozen=True)
class DialBack:
    """The answer to a request to be dialled; `words` are the helper's own, cut."""

    reach: Reach
    words: str = ""


@dataclass(frozen=True)
class ClockReading:
    """Another peer's clock, read between two readings of ours. Seconds since the epoch."""

    asked: float
    told: float
    answered: float


async def ask_dial_back(
    control: ControlSocket, own: PeerId, maddrs: Sequence[str], helper: PeerId, timeout_seconds: float
) -> DialBack:
    """Ask `helper` to dial this peer at `maddrs` (without `/p2p/...`); ends within `timeout_seconds`."""
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def store(data: bytes) -> None:
        if not answer.done():
            answer.set_result(data)

    def lost(_: object) -> None:
        if not answer.done():
            answer.set_exception(StreamLost("the stream was closed"))

    try:
        async with asyncio.timeout(timeout_seconds):
            pipe = await control.open_stream(helper, _AUTONAT, lambda _: read_message(store), timeout_seconds, lost)
            try:
                body = dial_request(own, maddrs)
                await pipe.write(varint(len(body)) + body, timeout_seconds)
                return read_dial_response(await answer)
            finally:
                pipe.abort()
    except (TimeoutError, DaemonError, StreamLost, ValueError) as error:
        return DialBack(Reach.NOT_OFFERED, str(error)[:_MAX_TEXT] or f"no answer within {timeout_seconds:g} s")
    finally:
        answer.cancel()
        if not answer.cancelled():
            answer.exception()  # else asyncio reports one that nobody waits for as never retrieved


async def read_clock(dht: DHTNode, peer: PeerId, timeout_seconds: float) -> ClockReading | None:
    """Return the time that a peer's DHT node tells over its authenticated stream; None if it tells none in time."""
    asked = time.time()
    try:
        async with asyncio.timeout(timeout_seconds):
            stub = dht.protocol.get_stub(PeerID(bytes(peer)))
            reply = await stub.rpc_ping(dht_pb2.PingRequest(peer=dht_pb2.NodeInfo()), timeout=timeout_seconds)
    except Exception:  # hivemind raises what its handlers, p2pd and protobuf raise
        return None
    told = float(reply.dht_time)
    return ClockReading(asked, told, time.time()) if told > 0 and told < 1e12 else None


def dial_request(own: PeerId, maddrs: Sequence[str]) -> bytes:
    """Return the protobuf Message{type: DIAL, dial: {peer: {id, addrs}}}."""
    peer = message_field(1, bytes(own)) + b"".join(message_field(2, Multiaddr(maddr).to_bytes()) for maddr in maddrs)
    return bytes([1 << 3 | _VARINT, 0]) + message_field(2, message_field(1, peer))


def read_dial_response(data: bytes) -> DialBack:
    """Read the protobuf Message{dialResponse: {status, statusText}}; raises ValueError."""
    response = next((value for number, value in message_fields(data) if number == 3 and isinstance(value, bytes)), None)
    if response is None:
        raise ValueError("no answer to a request to dial")
    status, words = _OK, ""
    for number, value in message_fields(response):
        if number == 1 and isinstance(value, int):
            status = value
        elif number == 2 and isinstance(value, bytes):
            words = value[:_MAX_TEXT].decode(errors="replace")
    reach = {_OK: Reach.REACHED, _DIAL_ERROR: Reach.UNREACHED, _REFUSED: Reach.REFUSED}.get(status, Reach.NOT_OFFERED)
    return DialBack(reach, words)


def message_field(number: int, value: bytes) -> bytes:
    """Return a field of bytes of a protobuf message."""
    return bytes([number << 3 | _BYTES]) + varint(len(value)) + value


def message_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (number, value) of a protobuf message of numbers and bytes; raises ValueError for anything else."""
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        value, position = _read_varint(data, position)
        if tag & 7 == _VARINT:
            yield tag >> 3, value
        elif tag & 7 == _BYTES and value <= len(data) - position:
            yield tag >> 3, data[position : position + value]
            position += value
        else:
            raise ValueError("no protobuf message of numbers and bytes")


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 63, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("no varint")
