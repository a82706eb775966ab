"""Streams that others opened to us: who may speak, the parsers of messages and parts, and the sweep of stalled ones."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import defaultdict
from collections.abc import Callable

from blake3 import blake3
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from hivemind.proto import p2pd_pb2

from btard.identity import PeerId
from btard.identity.envelope import MAX_ENVELOPE
from btard.transport.base import MAX_HEADER, Inbox
from btard.transport.libp2p.control import read_message
from btard.transport.libp2p.pipe import Parser, Pipe, Violation, fill
from btard.transport.libp2p.settings import Counters, Limits
from btard.version import PROTOCOL_VERSION

logger = logging.getLogger(__name__)

CONTROL_PROTOCOL = f"/btard/{PROTOCOL_VERSION}/control"
BULK_PROTOCOL = f"/btard/{PROTOCOL_VERSION}/bulk"
FETCH_PROTOCOL = f"/btard/{PROTOCOL_VERSION}/fetch"

MESSAGE_PREFIX = struct.Struct(">I")
"""Length of a control message."""
PART_PREFIX = struct.Struct(">IQ")
"""Lengths of a part's header and payload."""

_HASH_STEP = 128 << 10
"""Bytes hashed at a time: enough for BLAKE3's widest vectors, few enough to be in the processor's cache still."""

_MESSAGES_STEP = 16 << 10
"""Bytes of messages read at a time: as many as usually wait, few enough to be through with at once."""

StreamParser = Callable[[Pipe, PeerId], Parser]


class IncomingStreams:
    """All streams that p2pd forwards to us, by the peer that p2pd authenticated and the protocol it chose."""

    def __init__(self, limits: Limits, counters: Counters) -> None:
        self._limits = limits
        self._counters = counters
        self._scratch = memoryview(bytearray(64 << 10))
        self._pipes: defaultdict[tuple[PeerId, str], list[Pipe]] = defaultdict(list)
        self._owner: dict[Pipe, tuple[PeerId, str] | None] = {}
        self._part_started: dict[Pipe, float] = {}
        self._parsers: dict[str, StreamParser] = {CONTROL_PROTOCOL: self._messages, BULK_PROTOCOL: self._parts}
        self.inbox: Inbox | None = None
        """Who is told; while None, messages are dropped and parts refused."""

    def add_protocol(self, protocol: str, parser: StreamParser) -> None:
        """Have `parser` read the streams of one more protocol."""
        self._parsers[protocol] = parser

    def make_pipe(self) -> Pipe:
        """Return the asyncio protocol for one more connection from p2pd."""
        pipe = Pipe(self._parse, self._forget)
        self._owner[pipe] = None
        return pipe

    def sweep(self, now: float) -> None:
        """Close streams that stalled in the middle of something, take too long for a part, or are idle.

        Args:
            now: event-loop time in seconds.
        """
        limits = self._limits
        for pipe in list(self._owner):
            quiet = now - pipe.progress_at
            slow = now - self._part_started.get(pipe, now) > limits.part_timeout
            if slow or quiet > (limits.idle_timeout if pipe.idle else limits.stall_timeout):
                pipe.abort()

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
        self._part_started.pop(pipe, None)
        owner = self._owner.pop(pipe, None)
        if owner is not None:
            self._pipes[owner].remove(pipe)
            if not self._pipes[owner]:
                del self._pipes[owner]

    def _parse(self, pipe: Pipe) -> Parser:
        pipe.idle = False
        head = bytearray()
        yield from read_message(head.extend)
        try:
            info = p2pd_pb2.StreamInfo.FromString(bytes(head))
            sender = PeerId(info.peer)
        except (DecodeError, ValueError) as error:
            self._counters.streams_refused += 1
            raise Violation(f"a stream of no Ed25519 peer: {error}") from None
        parser = self._parsers.get(info.proto)
        if parser is None or len(self._owner) > self._limits.streams_total:
            self._counters.streams_refused += 1
            raise Violation(f"stream {info.proto!r} of {sender.short} refused, {len(self._owner)} are open")
        self._owner[pipe] = (sender, info.proto)
        same = self._pipes[sender, info.proto]
        same.append(pipe)
        for old in same[: -self._limits.streams_per_peer]:
            # The newest is the live one after a peer's restart, and a flood of streams hurts only who sends it.
            old.abort()
        try:
            yield from parser(pipe, sender)
        except Violation:
            self._counters.violations += 1
            raise

    def _messages(self, pipe: Pipe, sender: PeerId) -> Parser:
        # Nothing else writes to the scratch before what it has got is taken out.
        scratch, prefix = self._scratch[:_MESSAGES_STEP], MESSAGE_PREFIX.size
        rate, come = self._limits.message_rate, b""
        allowance, refilled_at = float(rate), pipe.progress_at
        while True:
            pipe.idle = not come
            come += bytes(scratch[: (yield scratch)])
            pipe.idle = False
            at = 0
            while len(come) - at >= prefix:
                (length,) = MESSAGE_PREFIX.unpack_from(come, at)
                if length > MAX_ENVELOPE:
                    raise Violation(f"{sender.short} announces a message of {length} bytes")
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
                allowance -= length + 1024
            come = come[at:]
            allowance = min(rate, allowance + (pipe.progress_at - refilled_at) * rate)
            refilled_at = pipe.progress_at
            if allowance < 0:
                pipe.pause_for(-allowance / rate)

    def _parts(self, pipe: Pipe, sender: PeerId) -> Parser:
        prefix = bytearray(PART_PREFIX.size)
        while True:
            pipe.idle = True
            yield from fill(memoryview(prefix))
            header_length, length = PART_PREFIX.unpack(prefix)
            if header_length > MAX_HEADER:
                raise Violation(f"{sender.short} announces a part header of {header_length} bytes")
            pipe.idle = False
            raw_header = bytearray(header_length)
            yield from fill(memoryview(raw_header))
            header = bytes(raw_header)
            target = None if self.inbox is None else self.inbox.accept_part(sender, header, length)
            if target is None:
                self._counters.parts_refused += 1
                yield from self._drain(sender, length)
            else:
                self._part_started[pipe] = asyncio.get_running_loop().time()
                yield from self._payload(sender, header, target)
                del self._part_started[pipe]

    def _drain(self, sender: PeerId, length: int) -> Parser:
        if length > self._limits.drain_bytes:
            raise Violation(f"a refused part of {length} bytes from {sender.short} is too long to read past")
        while length:
            length -= yield self._scratch[: min(length, len(self._scratch))]

    def _payload(self, sender: PeerId, header: bytes, target: memoryview) -> Parser:
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
            inbox.on_part_failed(sender, header)
            raise
        hasher.update(target[hashed:])
        self._counters.parts_received += 1
        self._counters.bytes_received += len(target)
        inbox.on_part(sender, header, target, hasher.digest())
