"""Honest traffic: order, integrity, rotation, what happens to a peer that does not read."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from btard.hashing import digest
from btard.identity import IdentityKey, PeerId
from btard.identity.envelope import MAX_ENVELOPE
from btard.transport.base import PeerAddress
from btard.transport.libp2p import Libp2pTransport, Limits
from btard.transport.libp2p.outgoing import Item, Lane, expect_nothing
from btard.transport.libp2p.pipe import WRITE_CHUNK, Pipe, StreamLost
from tests.btard.transport.libp2p.conftest import DEADLINE, Recorder, Swarm, until


async def test_messages_keep_their_order_and_name_their_sender(swarm: Swarm) -> None:
    a, inbox = await swarm.node()
    b, _ = await swarm.node(a)
    sent = [b"%d" % number * (number % 50) for number in range(2000)]
    for data in sent:
        b.transport.send(a.peer_id, data)
    await until(lambda: len(inbox.messages) == len(sent))
    assert inbox.messages == [(b.peer_id, data) for data in sent]


async def test_peers_find_each_other_through_a_third(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, inbox = await swarm.node(a)
    c, _ = await swarm.node(a)
    c.transport.send(b.peer_id, b"hello")
    await until(lambda: inbox.messages == [(c.peer_id, b"hello")])


async def test_flush_waits_for_what_was_queued(swarm: Swarm) -> None:
    a, inbox = await swarm.node()
    b, _ = await swarm.node(a)
    for _ in range(10):
        b.transport.send(a.peer_id, bytes(1 << 20))
    await b.transport.flush(DEADLINE)
    assert b.transport.counters.messages_sent == 10
    await until(lambda: len(inbox.messages) == 10)


async def test_a_big_part_arrives_whole_with_its_digest(swarm: Swarm) -> None:
    a, inbox = await swarm.node()
    b, _ = await swarm.node(a)
    payload = os.urandom((20 << 20) + 12345)
    b.transport.send_part(a.peer_id, b"first", payload)
    b.transport.send_part(a.peer_id, b"empty", b"")
    b.transport.send_part(a.peer_id, b"third", memoryview(payload)[:1000])
    await until(lambda: len(inbox.parts) == 3)
    assert [(sender, header, data) for sender, header, _, data in inbox.parts] == [
        (b.peer_id, b"first", digest(payload)),
        (b.peer_id, b"empty", digest(b"")),
        (b.peer_id, b"third", digest(payload[:1000])),
    ]
    assert inbox.parts[0][2] == payload


async def test_connections_of_members_are_closed_last(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    a, _ = await swarm.node()
    b, inbox = await swarm.node(a)
    c, other = await swarm.node(a)
    a.transport.is_member = lambda peer: peer == b.peer_id
    protected: list[PeerId] = []
    protect = a.control.protect

    async def noting(peer: PeerId, weight: int, timeout_seconds: float) -> None:
        await protect(peer, weight, timeout_seconds)
        protected.append(peer)

    monkeypatch.setattr(a.control, "protect", noting)
    a.transport.send(b.peer_id, b"member")
    a.transport.send(c.peer_id, b"stranger")
    await until(lambda: inbox.messages and other.messages)
    assert protected == [b.peer_id]


async def test_messages_overtake_parts(swarm: Swarm) -> None:
    a, inbox = await swarm.node()
    b, _ = await swarm.node(a)
    b.transport.send(a.peer_id, b"warm")
    await until(lambda: inbox.messages)
    payload = bytes(64 << 20)
    for _ in range(4):
        b.transport.send_part(a.peer_id, b"big", payload)
    b.transport.send(a.peer_id, b"small")
    await until(lambda: len(inbox.messages) == 2)
    assert len(inbox.parts) < 4


async def test_more_parts_wait_for_a_peer_if_they_are_let(swarm: Swarm) -> None:
    a, inbox = await swarm.node()
    b, _ = await swarm.node(a)
    b.transport.let_wait(150, 90.0)
    for number in range(150):
        b.transport.send_part(a.peer_id, b"%d" % number, b"x")
    await until(lambda: len(inbox.parts) == 150)
    assert b.transport.counters.parts_dropped == 0


async def test_a_refused_part_is_read_past(swarm: Swarm) -> None:
    a, inbox = await swarm.node(inbox=Recorder(most=1000))
    b, _ = await swarm.node(a)
    b.transport.send_part(a.peer_id, b"too long", bytes(5 << 20))
    b.transport.send_part(a.peer_id, b"short", b"x" * 1000)
    await until(lambda: inbox.parts)
    assert inbox.announced == [5 << 20, 1000]
    assert a.transport.counters.parts_refused == 1


async def test_what_the_interface_forbids_is_dropped_and_counted(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, inbox = await swarm.node(a)
    a.transport.send(b.peer_id, bytes(MAX_ENVELOPE + 1))
    a.transport.send(a.peer_id, b"to myself")
    a.transport.send_part(b.peer_id, bytes(5000), b"")
    a.transport.send(b.peer_id, bytes(MAX_ENVELOPE))
    await until(lambda: inbox.messages)
    assert (a.transport.counters.messages_dropped, a.transport.counters.parts_dropped) == (2, 1)


async def test_a_stopped_peer_stalls_nobody_and_costs_bounded_memory(swarm: Swarm) -> None:
    limits = Limits(queue_bytes=1 << 20, queue_parts=3, stall_timeout=2, open_timeout=2)
    a, _ = await swarm.node(limits=limits)
    stopped, _ = await swarm.node(a)
    live, inbox = await swarm.node(a)
    for peer in (stopped, live):
        a.transport.send(peer.peer_id, b"warm")
    await until(lambda: inbox.messages)
    os.kill(stopped.daemon_pid, signal.SIGSTOP)
    payload = bytes(16 << 20)
    for number in range(6):
        a.transport.send_part(stopped.peer_id, b"lost", payload)
        a.transport.send_part(live.peer_id, b"%d" % number, payload)
        await until(lambda number=number: len(inbox.parts) == number + 1)
    for _ in range(50):
        a.transport.send(stopped.peer_id, bytes(100_000))
    a.transport.send(live.peer_id, b"still there")
    await until(lambda: len(inbox.messages) == 2)
    assert a.transport.counters.parts_dropped >= 2
    assert a.transport.counters.messages_dropped >= 30


async def test_a_slow_reader_is_not_a_stalled_one() -> None:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    theirs.setblocking(False)
    _, pipe = await loop.create_unix_connection(lambda: Pipe(expect_nothing), sock=ours)
    stall = 2.0  # seconds; longer than a busy machine keeps this loop from one read
    writing = asyncio.create_task(pipe.write(bytes(3 * WRITE_CHUNK), stall))
    started = loop.time()
    while not writing.done():
        await loop.sock_recv(theirs, 16 << 10)
        await asyncio.sleep(0.05)
    writing.result()
    assert loop.time() - started > stall
    with pytest.raises(StreamLost, match="read nothing"):
        await pipe.write(bytes(8 * WRITE_CHUNK), 0.3)
    theirs.close()


async def test_a_reader_below_the_rate_is_given_up() -> None:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    theirs.setblocking(False)
    _, pipe = await loop.create_unix_connection(lambda: Pipe(expect_nothing), sock=ours)
    writing = asyncio.create_task(pipe.write(bytes(8 * WRITE_CHUNK), 0.3, least=4 << 20))
    while not writing.done():
        await loop.sock_recv(theirs, 64 << 10)
        await asyncio.sleep(0.05)
    with pytest.raises(StreamLost, match="less than 4194304 bytes"):
        writing.result()
    theirs.close()


async def test_a_stream_that_breaks_under_a_head_is_replaced() -> None:
    """p2pd closes the stream of a peer that was killed at any moment: what is sent just then raises nothing."""
    loop = asyncio.get_running_loop()
    pairs = [socket.socketpair() for _ in range(2)]
    opened = iter(pairs)

    async def open_stream(_: PeerId) -> Pipe:
        ours, _ = next(opened)
        return (await loop.create_unix_connection(lambda: Pipe(expect_nothing), sock=ours))[1]

    sent: list[Item] = []
    lane = Lane(
        IdentityKey.from_seed(bytes(32)).peer_id,
        open_stream,
        Limits(backoff=0.01),
        most_items=9,
        most_bytes=None,
        on_sent=sent.append,
        on_dropped=lambda item: pytest.fail(f"dropped: {item}"),
    )
    first, second = (Item(head, b"payload", loop.time() + DEADLINE) for head in (b"first", b"second"))
    lane.put(first)
    await until(lambda: sent == [first])
    pairs[0][1].close()
    lane.put(second)  # in the same turn of the loop, so that nobody has noticed yet
    await until(lambda: sent == [first, second])
    assert await loop.run_in_executor(None, pairs[1][1].recv, 100) == b"secondpayload"
    await lane.close()
    pairs[1][1].close()


async def test_a_sender_that_stops_in_mid_part_is_given_up(swarm: Swarm) -> None:
    a, inbox = await swarm.node(limits=Limits(stall_timeout=1))
    b, _ = await swarm.node(a)
    b.transport.send_part(a.peer_id, b"cut", bytes(60 << 20))
    await until(lambda: inbox.announced)
    os.kill(b.daemon_pid, signal.SIGSTOP)
    await until(lambda: inbox.failed or inbox.parts)
    assert inbox.failed == [(b.peer_id, b"cut")]


async def test_a_stream_is_opened_again_after_its_peer_came_back(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    path = swarm.identity()
    b, inbox = await swarm.node(a)
    a.transport.send(b.peer_id, b"one")
    await until(lambda: inbox.messages)
    address = b.maddrs[0].split("/p2p/")[0]
    await b.close()
    swarm.identity = lambda: path  # type: ignore[method-assign]
    again, second = await swarm.node(a, host_maddrs=[address])
    assert again.peer_id == b.peer_id
    await until(lambda: a.transport.send(again.peer_id, b"two") or second.messages, DEADLINE)
    assert second.messages[0][1] == b"two"


async def test_abandoned_parts_do_not_arrive(swarm: Swarm) -> None:
    a, inbox = await swarm.node()
    b, _ = await swarm.node(a)
    b.transport.send_part(a.peer_id, b"old", bytes(60 << 20))
    b.transport.send_part(a.peer_id, b"older", bytes(60 << 20))
    await until(lambda: inbox.announced)
    b.transport.abandon_parts()
    b.transport.send_part(a.peer_id, b"new", b"payload")
    await until(lambda: inbox.parts)
    assert [part[1] for part in inbox.parts] == [b"new"]
    assert inbox.failed == [(b.peer_id, b"old")]
    assert b.transport.counters.parts_dropped == 2


async def test_a_connection_counts_in_both_directions(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    assert await a.transport.connected() == {b.peer_id}
    assert await b.transport.connected() == {a.peer_id}
    liar = await swarm.liar(a)
    assert await a.transport.connected() == {b.peer_id, liar.peer_id}
    await b.close()
    async with asyncio.timeout(DEADLINE):
        while await a.transport.connected() != {liar.peer_id}:  # noqa: ASYNC110 - p2pd sets no event
            await asyncio.sleep(0.01)
    await a.close()
    assert await a.transport.connected() is None


def test_the_address_behind_a_relay_keeps_the_relay() -> None:
    peer, relay = (PeerId.from_public_key(bytes([number]) * 32) for number in (1, 2))
    transport = Libp2pTransport(cast(Any, SimpleNamespace(control=None, peer_id=relay)))
    direct, relayed = "/ip4/1.2.3.4/tcp/5", f"/ip4/1.2.3.4/tcp/6/p2p/{relay}/p2p-circuit"
    transport.remember(PeerAddress(peer, (f"{direct}/p2p/{peer}", f"{relayed}/p2p/{peer}", direct)))
    assert transport._addresses[peer] == (direct, relayed, direct)
