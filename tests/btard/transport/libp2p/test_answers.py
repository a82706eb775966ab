"""A peer that asks much and reads nothing takes nothing that members, or small answers, need."""

from __future__ import annotations

import asyncio
import os
import struct

import pytest

from btard.identity import PeerId
from btard.transport.libp2p import FetchError, Libp2pNode, Limits
from btard.transport.libp2p.daemon import Daemon
from btard.transport.libp2p.incoming import FETCH_PROTOCOL
from btard.transport.libp2p.outgoing import expect_nothing
from btard.transport.libp2p.pipe import Pipe, StreamLost
from tests.btard.transport.libp2p.conftest import Swarm, raw_stream, until

LARGE = {b"%d" % number: os.urandom(6 << 20) for number in range(4)}
SMALL = b"the head"

SOON = 30.0
"""Seconds; the p2pd of a liar ends by itself after a minute."""


async def answer(peer: PeerId, request: bytes) -> bytes:
    return LARGE.get(request, SMALL)


async def hog(liar: Daemon, victim: Libp2pNode, question: bytes = b"0") -> Pipe:
    """Ask for something large, and read nothing of it; a pipe that nobody keeps is closed at any time."""
    pipe = await liar.control.open_stream(victim.peer_id, FETCH_PROTOCOL, expect_nothing, 10)
    pipe.pause()
    await pipe.write(struct.pack(">I", len(question)) + question, 10)
    return pipe


def sending(node: Libp2pNode) -> int:
    """How many large answers a node is sending."""
    return node.transport.serving


async def test_strangers_that_read_nothing_make_nobody_wait(swarm: Swarm) -> None:
    a, _ = await swarm.node(serve=answer)
    member, _ = await swarm.node(a)
    guest, _ = await swarm.node(a)
    a.transport.is_member = lambda peer: peer == member.peer_id
    liars = [await swarm.liar(a) for _ in range(4)]
    pipes = [await hog(liar, a) for liar in liars for _ in range(2)]
    await until(lambda: sending(a) >= 4)
    for number in range(50):
        for node in (member, guest):
            assert await node.transport.fetch(a.peer_id, b"head", limit=100, timeout_seconds=20) == SMALL
        if not number % 10:
            large = await member.transport.fetch(a.peer_id, b"0", limit=len(LARGE[b"0"]), timeout_seconds=20)
            assert large == LARGE[b"0"]
    assert await guest.transport.fetch(a.peer_id, b"0", limit=len(LARGE[b"0"]), timeout_seconds=20) == LARGE[b"0"]
    for pipe in pipes:
        pipe.abort()


async def test_strangers_can_only_take_the_slots_of_strangers(swarm: Swarm) -> None:
    a, _ = await swarm.node(serve=answer, limits=Limits(serves_total=2, reader_window_seconds=60.0))
    member, _ = await swarm.node(a)
    guest, _ = await swarm.node(a)
    a.transport.is_member = lambda peer: peer == member.peer_id
    pipes = [await hog(await swarm.liar(a), a) for _ in range(2)]
    await until(lambda: sending(a) == 2)
    with pytest.raises(FetchError, match="busy"):
        await guest.transport.fetch(a.peer_id, b"0", limit=1 << 30, timeout_seconds=20)
    assert await guest.transport.fetch(a.peer_id, b"head", limit=100, timeout_seconds=20) == SMALL
    both = [member.transport.fetch(a.peer_id, name, limit=1 << 30, timeout_seconds=20) for name in (b"0", b"1")]
    assert await asyncio.gather(*both) == [LARGE[b"0"], LARGE[b"1"]]
    for pipe in pipes:
        pipe.abort()


async def test_strangers_that_read_nothing_lose_their_slots(swarm: Swarm) -> None:
    a, _ = await swarm.node(serve=answer, limits=Limits(serves_total=2, reader_window_seconds=1.0))
    guest, _ = await swarm.node(a)
    a.transport.is_member = lambda peer: False
    pipes = [await hog(await swarm.liar(a), a) for _ in range(2)]
    await until(lambda: a.transport.counters.answers_lost == 2)
    assert await guest.transport.fetch(a.peer_id, b"0", limit=1 << 30, timeout_seconds=20) == LARGE[b"0"]
    for pipe in pipes:
        pipe.abort()


async def test_what_takes_long_to_make_needs_a_slot_first(swarm: Swarm) -> None:
    begun: list[PeerId] = []

    async def slow(peer: PeerId, request: bytes) -> bytes:
        if request == b"slow":
            begun.append(peer)
            await asyncio.Event().wait()
        return SMALL

    a, _ = await swarm.node(limits=Limits(serves_total=1))
    a.transport.serve_with(slow, lambda request: request == b"slow")
    guests = [(await swarm.node(a))[0] for _ in range(2)]
    a.transport.is_member = lambda peer: False
    waiting = asyncio.create_task(guests[0].transport.fetch(a.peer_id, b"slow", limit=100, timeout_seconds=60))
    await until(lambda: begun)
    with pytest.raises(FetchError, match="busy"):
        await guests[1].transport.fetch(a.peer_id, b"slow", limit=100, timeout_seconds=20)
    for guest in guests:
        assert await guest.transport.fetch(a.peer_id, b"head", limit=100, timeout_seconds=20) == SMALL
    assert len(begun) == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_memory_of_answers_is_bounded(swarm: Swarm) -> None:
    a, _ = await swarm.node(serve=answer, limits=Limits(answers_bytes=13 << 20))
    member, _ = await swarm.node(a)
    a.transport.is_member = lambda peer: True
    first = await hog(await swarm.liar(a), a, b"0")
    second = await hog(await swarm.liar(a), a, b"1")
    await until(lambda: sending(a) == 2)
    assert await member.transport.fetch(a.peer_id, b"1", limit=1 << 30, timeout_seconds=20) == LARGE[b"1"]
    assert a.transport.counters.answers_lost == 0
    assert await member.transport.fetch(a.peer_id, b"2", limit=1 << 30, timeout_seconds=20) == LARGE[b"2"]
    await until(lambda: a.transport.counters.answers_lost == 1)
    for pipe in (first, second):
        pipe.abort()


async def test_strangers_get_no_more_than_their_share_of_the_upload(swarm: Swarm) -> None:
    a, _ = await swarm.node(serve=answer, limits=Limits(stranger_upload=2 << 20))
    b, _ = await swarm.node(a)
    loop = asyncio.get_running_loop()
    a.transport.is_member = lambda peer: False
    began = loop.time()
    assert await b.transport.fetch(a.peer_id, b"0", limit=1 << 30, timeout_seconds=60) == LARGE[b"0"]
    assert loop.time() - began > 1.5  # six MiB, two at once and two a second, in pieces of half a MiB
    a.transport.is_member = lambda peer: True
    assert await b.transport.fetch(a.peer_id, b"0", limit=1 << 30, timeout_seconds=60) == LARGE[b"0"]


async def test_a_stream_that_asks_nothing_in_time_is_dropped(swarm: Swarm) -> None:
    a, _ = await swarm.node(serve=answer, limits=Limits(request_timeout=0.5, stall_timeout=600))
    pipe = await raw_stream(await swarm.liar(a), a, FETCH_PROTOCOL)
    await until(lambda: pipe.lost, SOON)


async def test_a_stream_that_asks_byte_by_byte_is_dropped(swarm: Swarm) -> None:
    a, _ = await swarm.node(serve=answer, limits=Limits(request_timeout=0.5, stall_timeout=600))
    pipe = await raw_stream(await swarm.liar(a), a, FETCH_PROTOCOL)
    await pipe.write(struct.pack(">I", 60_000), 5)

    async def trickle() -> None:
        while True:
            await pipe.write(b"x", 5)
            await asyncio.sleep(0.05)

    with pytest.raises(StreamLost):
        await asyncio.wait_for(trickle(), SOON)


async def test_one_peer_asks_only_so_much_at_a_time(swarm: Swarm) -> None:
    a, _ = await swarm.node(limits=Limits(requests_per_peer=3, serves_per_peer=3))

    async def hang(peer: PeerId, request: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    a.transport.serve_with(hang)
    b, _ = await swarm.node(a)
    asking = [asyncio.create_task(b.transport.fetch(a.peer_id, b"?", limit=9, timeout_seconds=60)) for _ in range(6)]
    await until(lambda: sum(task.done() for task in asking) == 3)
    assert a.transport.counters.requests_refused == 3
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
