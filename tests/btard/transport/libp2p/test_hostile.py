"""A peer that sends garbage, announces too much, floods, or says nothing hurts nobody but itself."""

from __future__ import annotations

import asyncio
import contextlib
import struct

import psutil
import pytest

from btard.identity.envelope import MAX_ENVELOPE, MAX_HEADER
from btard.transport.libp2p import Limits
from btard.transport.libp2p.incoming import BULK_PROTOCOL, CONTROL_PROTOCOL, FETCH_PROTOCOL
from btard.transport.libp2p.pipe import StreamLost
from tests.btard.transport.libp2p.conftest import DEADLINE, Recorder, Swarm, part_prefix, raw_stream, until


@pytest.mark.parametrize("protocol", [CONTROL_PROTOCOL, BULK_PROTOCOL, FETCH_PROTOCOL])
async def test_garbage_closes_the_stream_and_nothing_else(swarm: Swarm, protocol: str) -> None:
    a, inbox = await swarm.node()
    liar = await swarm.liar(a)
    pipe = await raw_stream(liar, a, protocol)
    await pipe.write(b"\xff" * 64, 5)
    await until(lambda: pipe.lost)
    b, _ = await swarm.node(a)
    b.transport.send(a.peer_id, b"fine")
    await until(lambda: inbox.messages)
    assert inbox.messages == [(b.peer_id, b"fine")]
    assert a.transport.counters.violations == 1


@pytest.mark.parametrize(
    ("protocol", "announcement"),
    [
        (CONTROL_PROTOCOL, struct.pack(">I", MAX_ENVELOPE + 1)),
        (BULK_PROTOCOL, part_prefix(MAX_HEADER + 1, 10)),
        (BULK_PROTOCOL, part_prefix(4, 1 << 40) + b"head"),
        (FETCH_PROTOCOL, struct.pack(">I", (64 << 10) + 1)),
    ],
)
async def test_an_oversize_announcement_closes_the_stream(swarm: Swarm, protocol: str, announcement: bytes) -> None:
    a, inbox = await swarm.node()
    pipe = await raw_stream(await swarm.liar(a), a, protocol)
    await pipe.write(announcement, 5)
    await until(lambda: pipe.lost)
    assert not inbox.messages and not inbox.parts
    assert a.transport.counters.violations == 1


async def test_a_gigabyte_of_refused_parts_needs_no_memory(swarm: Swarm) -> None:
    a, inbox = await swarm.node(inbox=Recorder(most=0))
    pipe = await raw_stream(await swarm.liar(a), a, BULK_PROTOCOL)
    payload = bytes(16 << 20)
    before = psutil.Process().memory_info().rss
    for _ in range(8):
        await pipe.write(part_prefix(1, len(payload)) + b"h", 5)
        await pipe.write(payload, 10)
    await until(lambda: len(inbox.announced) == 8)
    assert psutil.Process().memory_info().rss - before < 48 << 20
    pipe.abort()


async def test_a_silent_stream_in_mid_message_is_closed(swarm: Swarm) -> None:
    a, inbox = await swarm.node(limits=Limits(stall_timeout=0.5))
    liar = await swarm.liar(a)
    message = await raw_stream(liar, a, CONTROL_PROTOCOL)
    await message.write(struct.pack(">I", 1000) + b"half", 5)
    part = await raw_stream(liar, a, BULK_PROTOCOL)
    await part.write(part_prefix(1, 1000) + b"h" + b"half", 5)
    await until(lambda: message.lost and part.lost)
    assert inbox.failed == [(liar.peer_id, b"h")]


async def test_a_trickling_part_ends_at_its_deadline(swarm: Swarm) -> None:
    a, inbox = await swarm.node(limits=Limits(stall_timeout=2, part_timeout=1))
    liar = await swarm.liar(a)
    pipe = await raw_stream(liar, a, BULK_PROTOCOL)
    await pipe.write(part_prefix(1, 1 << 20) + b"h", 5)

    async def trickle() -> None:
        while True:
            await pipe.write(b"x", 5)
            await asyncio.sleep(0.05)

    with pytest.raises(StreamLost):
        await asyncio.wait_for(trickle(), DEADLINE)
    assert inbox.failed == [(liar.peer_id, b"h")]


async def test_many_streams_of_one_peer_replace_each_other(swarm: Swarm) -> None:
    a, inbox = await swarm.node()
    liar = await swarm.liar(a)
    pipes = [await raw_stream(liar, a, CONTROL_PROTOCOL) for _ in range(10)]
    await until(lambda: sum(not pipe.lost for pipe in pipes) <= 2)
    for pipe in pipes:  # which of them came last, p2pd decides
        with contextlib.suppress(StreamLost):
            await pipe.write(struct.pack(">I", 4) + b"last", 5)
    await until(lambda: inbox.messages)
