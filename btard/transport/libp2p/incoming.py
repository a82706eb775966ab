"""Streams that others opened to us: which may speak, parsers of messages and parts, the sweep of stalled ones."""

from __future__ import annotations

import asyncio
import logging
import math
import struct
from collections import defaultdict
from collections.abc import Callable, Generator

from blake3 import blake3
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from hivemind.proto import p2pd_pb2

from btard.identity import PeerId
from btard.identity.envelope import MAX_ENVELOPE, MAX_HEADER
from btard.transport.base import Inbox
from btard.transport.libp2p.control import read_message
from btard.transport.libp2p.gate import Gate, Gates
from btard.transport.libp2p.pipe import Expects, Parser, Pipe, StreamViolation, fill
from btard.transport.libp2p.settings import Counters, Limits
from btard.version import PROTOCOL_VERSION

logger = logging.getLogger(__name__)

CONTROL_PROTOCOL = f"/btard/{PROTOCOL_VERSION}/control"
BULK_PROTOCOL = f"/btard/{PROTOCOL_VERSION}/bulk"
FETCH_PROTOCOL = f"/btard/{PROTOCOL_VERSION}/fetch"

_SENT = frozenset({CONTROL_PROTOCOL, BULK_PROTOCOL})
"""On which a peer needs one stream at a time; a request has one of its own."""

MESSAGE_PREFIX = struct.Struct(">I")
"""Length of a control message."""
PART_PREFIX = struct.Struct(">IQ")
"""Lengths of a part's header and payload."""

_HASH_STEP = 128 << 10
"""Bytes hashed at a time: enough for BLAKE3's widest vectors, few enough to be in the processor's cache still."""

_MESSAGES_STEP = 16 << 10
"""Bytes of messages read at a time: as many as usually wait, few enough to be through with at once."""

_OPENING_COST_SECONDS = 200e-6
"""Seconds of processor time of opening and closing a stream, besides what is measured: uvloop's part."""
_READ_COST_SECONDS = 25e-6
"""Seconds of a read, besides what is measured: waking, and the system call."""
_BYTE_COST_SECONDS = 1e-9
"""Seconds of decrypting a byte, in p2pd, and copying it out of the socket."""

StreamParser = Callable[[Pipe, PeerId], Parser]


class IncomingStreams:
    """All streams that p2pd forwards to us, by the peer that p2pd authenticated and the protocol it chose.

    Args:
        disconnect: closes all connections of a peer that opens too many streams.
    """

    def __init__(self, limits: Limits, counters: Counters, disconnect: Callable[[PeerId], None]) -> None:
        self._limits = limits
        self._counters = counters
        self._disconnect = disconnect
        self._scratch = memoryview(bytearray(64 << 10))
        self._pipes: defaultdict[tuple[PeerId, str], list[Pipe]] = defaultdict(list)
        self._owner: dict[Pipe, tuple[PeerId, str] | None] = {}
        self._gate: dict[Pipe, Gate] = {}
        self._unpaid: dict[Pipe, float] = {}
        self._parsers: dict[str, StreamParser] = {CONTROL_PROTOCOL: self._messages, BULK_PROTOCOL: self._parts}
        self.gates = Gates(limits, counters)
        self.inbox: Inbox | None = None
        """Receives what arrives; while None, messages are dropped and parts refused."""

    def add_protocol(self, protocol: str, parser: StreamParser) -> None:
        """Have `parser` read the streams of one more protocol."""
        self._parsers[protocol] = parser

    def make_pipe(self) -> Pipe:
        """Return the asyncio protocol for one more connection from p2pd."""
        pipe = Pipe(self._parse, self._forget)
        self._owner[pipe] = None
        return pipe

    def sweep(self, now: float) -> None:
        """Close streams that stalled in the middle of something, take too long for it, or are idle, and see which
        peers have become members, or are none any more.

        Args:
            now: event-loop time in seconds.
        """
        limits = self._limits
        allowed = {Expects.FRAME: limits.idle_timeout, Expects.REST: limits.stall_timeout, Expects.NOTHING: math.inf}
        for pipe, owner in list(self._owner.items()):
            quiet = 0.0 if pipe.paused else now - pipe.progress_at
            if now > pipe.deadline or quiet > allowed[pipe.expects]:
                pipe.abort()
            elif owner is not None:
                self._pass(pipe, *owner)
        self.gates.forget()

    def drop_peer(self, peer: PeerId) -> None:
        """Close every stream that `peer` opened."""
        for pipe, owner in list(self._owner.items()):
            if owner is not None and owner[0] == peer:
                pipe.abort()

    def close(self) -> None:
        """Close all streams."""
        for pipe in list(self._owner):
            pipe.abort()

    def _forget(self, pipe: Pipe) -> None:
        self._unpaid.pop(pipe, None)
        gate = self._gate.pop(pipe, None)
        if gate is not None:
            gate.remove(pipe)
        owner = self._owner.pop(pipe, None)
        if owner is not None:
            self._pipes[owner].remove(pipe)
            if not self._pipes[owner]:
                del self._pipes[owner]

    def _pass(self, pipe: Pipe, sender: PeerId, protocol: str) -> Gate:
        """Let the budget of whatever the sender is now pay for a stream."""
        gate, former = self.gates.of(sender, asks=protocol not in _SENT), self._gate.get(pipe)
        if former is not gate:
            if former is not None:
                former.remove(pipe)
            self._gate[pipe] = gate
            gate.add(pipe)
        return gate

    def _parse(self, pipe: Pipe) -> Parser:
        pipe.expects = Expects.REST
        head = bytearray()
        yield from read_message(head.extend)
        try:
            info = p2pd_pb2.StreamInfo.FromString(bytes(head))
            sender = PeerId(info.peer)
        except (DecodeError, ValueError) as error:
            self._counters.streams_refused += 1
            raise StreamViolation(f"a stream of no Ed25519 peer: {error}") from None
        gate = self._pass(pipe, sender, info.proto)
        gate.spend(_OPENING_COST_SECONDS)
        if not self.gates.opens(sender):
            self._counters.streams_refused += 1
            self._disconnect(sender)
            raise StreamViolation(f"{sender.short} opens too many streams")
        parser = self._parsers.get(info.proto)
        if parser is None or len(self._owner) > self._limits.streams_total:
            self._counters.streams_refused += 1
            raise StreamViolation(f"stream {info.proto!r} of {sender.short} refused, {len(self._owner)} are open")
        self._owner[pipe] = (sender, info.proto)
        same = self._pipes[sender, info.proto]
        same.append(pipe)
        self._make_room(sender, same, info.proto)
        pipe.on_read = self._pay
        try:
            yield from parser(pipe, sender)
        except StreamViolation:
            self._counters.violations += 1
            raise

    def _make_room(self, sender: PeerId, same: list[Pipe], protocol: str) -> None:
        """Close what makes a peer's streams, or those of all strangers, too many."""
        if protocol in _SENT:
            for old in same[: -self._limits.streams_per_peer]:
                # The newest is the live one after a peer's restart, and a flood of streams hurts only its sender.
                old.abort()
        if self.gates.stranger(sender):
            theirs = self.gates.of(sender, asks=protocol not in _SENT).pipes
            excess = len(theirs) - self._limits.stranger_streams
            # A peer with something to say has said it long before the others are through with opening theirs.
            for old in [pipe for pipe in theirs if pipe.expects is not Expects.NOTHING][: max(0, excess)]:
                old.abort()

    def _pay(self, pipe: Pipe, size: int, seconds: float) -> None:
        """Let the sender's budget pay for a read, but for that of a part that may yet be of use."""
        seconds += _READ_COST_SECONDS + size * _BYTE_COST_SECONDS
        if pipe in self._unpaid:
            self._unpaid[pipe] += seconds
        elif pipe in self._gate:
            self._gate[pipe].spend(seconds)

    def _messages(self, pipe: Pipe, sender: PeerId) -> Parser:
        # Nothing else writes to the scratch before what it has got is taken out.
        scratch, prefix = self._scratch[:_MESSAGES_STEP], MESSAGE_PREFIX.size
        come = b""
        while True:
            pipe.expects = Expects.REST if come else Expects.FRAME
            come += bytes(scratch[: (yield scratch)])
            pipe.expects = Expects.REST
            at = read = 0
            most = self._limits.stranger_message_bytes if self.gates.stranger(sender) else MAX_ENVELOPE
            while len(come) - at >= prefix:
                (length,) = MESSAGE_PREFIX.unpack_from(come, at)
                if length > most:
                    raise StreamViolation(f"{sender.short} announces a message of {length} bytes")
                data, at = come[at + prefix : at + prefix + length], at + prefix + length
                if len(data) < length:
                    if length <= _MESSAGES_STEP:
                        at -= prefix + length
                        break
                    whole = bytearray(length)
                    whole[: len(data)] = data
                    yield from fill(memoryview(whole)[len(data) :])
                    data = bytes(whole)
                self._counters.messages_received += 1
                self._counters.bytes_received += length
                if self.inbox is not None:
                    self.inbox.on_message(sender, data)
                read += length + 1024
            come = come[at:]
            self._gate[pipe].spend(0.0, read)

    def _parts(self, pipe: Pipe, sender: PeerId) -> Parser:
        prefix = bytearray(PART_PREFIX.size)
        loop = asyncio.get_running_loop()
        while True:
            pipe.expects = Expects.FRAME
            yield from fill(memoryview(prefix))
            header_length, length = PART_PREFIX.unpack(prefix)
            if header_length > MAX_HEADER:
                raise StreamViolation(f"{sender.short} announces a part header of {header_length} bytes")
            pipe.expects = Expects.REST
            raw_header = bytearray(header_length)
            yield from fill(memoryview(raw_header))
            header = bytes(raw_header)
            target = None if self.inbox is None else self.inbox.accept_part(sender, header, length)
            pipe.deadline = loop.time() + self._limits.part_timeout
            if target is None:
                self._counters.parts_refused += 1
                yield from self._drain(sender, length)
            else:
                self._unpaid[pipe] = 0.0
                useless = yield from self._payload(pipe, sender, header, target)
                seconds = self._unpaid.pop(pipe)
                if useless:
                    self._gate[pipe].spend(seconds)
            pipe.deadline = math.inf

    def _drain(self, sender: PeerId, length: int) -> Parser:
        if length > self._limits.drain_bytes:
            raise StreamViolation(f"a refused part of {length} bytes from {sender.short} is too long to read past")
        while length:
            length -= yield self._scratch[: min(length, len(self._scratch))]

    def _payload(
        self, pipe: Pipe, sender: PeerId, header: bytes, target: memoryview
    ) -> Generator[memoryview, int, bool]:
        """Parse a payload into its place; returns whether it turned out to be of no use."""
        inbox = self.inbox
        assert inbox is not None
        hasher = blake3()
        done = hashed = 0
        try:
            while done < len(target):
                done += yield target[done:]
                if done - hashed >= _HASH_STEP:
                    hasher.update(target[hashed:done])
                    hashed = done
        except GeneratorExit:
            self._counters.parts_failed += 1
            if pipe in self._gate:
                self._gate[pipe].spend(self._unpaid[pipe])
            inbox.on_part_failed(sender, header)
            raise
        hasher.update(target[hashed:])
        self._counters.parts_received += 1
        self._counters.bytes_received += len(target)
        return inbox.on_part(sender, header, target, hasher.digest())
