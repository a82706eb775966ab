"""A flooding peer is read as slowly as its budget allows, and nobody else waits for it.

Handling costs a known processor time here, so that what is counted does not depend on the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct

import pytest

from btard.identity import PeerId
from btard.transport.libp2p import FetchError, Libp2pNode, Limits
from btard.transport.libp2p.control import DaemonError
from btard.transport.libp2p.daemon import Daemon
from btard.transport.libp2p.incoming import BULK_PROTOCOL, CONTROL_PROTOCOL
from btard.transport.libp2p.pipe import Pipe, StreamLost
from tests.btard.transport.libp2p.conftest import DEADLINE, Recorder, Swarm, burn, part_prefix, raw_stream, until

COST = 0.02
"""Seconds of processor time of one message."""

LIMITS = Limits(work_share=0.1, work_burst_seconds=0.2)


class Costly(Recorder):
    """An inbox to which every message is work."""

    def on_message(self, sender: PeerId, data: bytes) -> None:
        burn(COST)
        super().on_message(sender, data)

    def of(self, *senders: PeerId) -> int:
        """How many messages of these have been handled."""
        return sum(sender in senders for sender, _ in self.messages)


def framed(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


async def flood(pipe: Pipe, data: bytes) -> None:
    """Write the same bytes for ever, or until the stream is closed."""
    with contextlib.suppress(StreamLost):
        while True:
            await pipe.write(data, DEADLINE)


def allowed(elapsed: float, limits: Limits = LIMITS, reads: int = 1) -> float:
    """How many messages may have been handled after so many seconds: all of one read are, once it is begun.

    A message of 4 KiB leaves room for four in a read of 16 KiB.
    """
    return (limits.work_burst_seconds + limits.work_share * elapsed) / COST + 4 * reads + 1


async def test_a_flood_of_one_author_costs_its_share_and_no_more(swarm: Swarm) -> None:
    a, inbox = await swarm.node(inbox=Costly(), limits=LIMITS)
    b, _ = await swarm.node(a)
    liar = await swarm.liar(a)
    loop = asyncio.get_running_loop()
    pipes = [await raw_stream(liar, a, CONTROL_PROTOCOL) for _ in range(2)]
    began = loop.time()
    floods = [asyncio.create_task(flood(pipe, framed(bytes(4092)) * 16)) for pipe in pipes]
    await until(lambda: inbox.of(liar.peer_id) > 20)
    b.transport.send(a.peer_id, b"fine")
    await until(lambda: inbox.of(b.peer_id) == 1)
    assert 20 < inbox.of(liar.peer_id) <= allowed(loop.time() - began, reads=2)
    assert a.transport.counters.pauses >= 1
    for task in floods:
        task.cancel()
    await asyncio.gather(*floods, return_exceptions=True)


async def test_all_strangers_share_what_one_member_has(swarm: Swarm) -> None:
    a, inbox = await swarm.node(inbox=Costly(), limits=Limits(work_share=1e-6, work_burst_seconds=0.1))
    member, _ = await swarm.node(a)
    a.transport.is_member = lambda peer: peer == member.peer_id
    flooding = await flooded(swarm, a)
    handled = len(inbox.messages)
    other = await swarm.liar(a)
    pipe = await raw_stream(other, a, CONTROL_PROTOCOL)
    await pipe.write(framed(b"unread"), 5)
    for number in range(1, 5):
        member.transport.send(a.peer_id, b"fine")
        await until(lambda number=number: inbox.of(member.peer_id) == number)
    assert len(inbox.messages) == handled + 4
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)


async def test_strangers_questions_do_not_wait_behind_their_messages(swarm: Swarm) -> None:
    async def answer(peer: PeerId, request: bytes) -> bytes:
        return b"the head"

    limits = Limits(work_share=1e-6, work_burst_seconds=0.1)
    a, _ = await swarm.node(inbox=Costly(), limits=limits, serve=answer)
    guest, _ = await swarm.node(a)
    a.transport.is_member = lambda peer: False
    flooding = await flooded(swarm, a)
    assert await guest.transport.fetch(a.peer_id, b"head", limit=10, timeout_seconds=20) == b"the head"
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)


async def test_the_asker_pays_for_its_questions(swarm: Swarm) -> None:
    async def answer(peer: PeerId, request: bytes) -> bytes:
        burn(COST)
        return b"the head"

    a, _ = await swarm.node(limits=Limits(work_share=1e-6, work_burst_seconds=0.1), serve=answer)
    greedy, _ = await swarm.node(a)
    other, _ = await swarm.node(a)
    for _ in range(4):
        await greedy.transport.fetch(a.peer_id, b"head", limit=10, timeout_seconds=20)
    with pytest.raises(FetchError, match="within"):
        for _ in range(4):
            await greedy.transport.fetch(a.peer_id, b"head", limit=10, timeout_seconds=2)
    assert await other.transport.fetch(a.peer_id, b"head", limit=10, timeout_seconds=20) == b"the head"


async def test_a_burst_of_honest_messages_is_not_paused(swarm: Swarm) -> None:
    a, inbox = await swarm.node()
    b, _ = await swarm.node(a)
    for _ in range(4):
        b.transport.send(a.peer_id, os.urandom(1 << 20))
    for number in range(500):
        b.transport.send(a.peer_id, b"%d" % number)
    await until(lambda: len(inbox.messages) == 504)
    assert a.transport.counters.pauses == 0


async def test_messages_are_read_at_the_rate_allowed(swarm: Swarm) -> None:
    rate, size = 1 << 20, 64 << 10
    a, inbox = await swarm.node(limits=Limits(message_rate=rate))
    liar = await swarm.liar(a)
    loop = asyncio.get_running_loop()
    pipe = await raw_stream(liar, a, CONTROL_PROTOCOL)
    began = loop.time()
    flooding = asyncio.create_task(flood(pipe, framed(os.urandom(size))))
    await until(lambda: len(inbox.messages) >= 32)
    assert len(inbox.messages) <= rate * (1 + loop.time() - began) / size + 2
    b, _ = await swarm.node(a)
    b.transport.send(a.peer_id, b"fine")
    await until(lambda: (b.peer_id, b"fine") in inbox.messages)
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)


async def test_refused_parts_are_paid_for_and_those_of_use_are_not(swarm: Swarm) -> None:
    limits = Limits(work_share=0.02, work_burst_seconds=0.01)
    a, inbox = await swarm.node(inbox=Recorder(most=4 << 20), limits=limits)
    b, _ = await swarm.node(a)
    for _ in range(16):
        b.transport.send_part(a.peer_id, b"of use", bytes(4 << 20))
    await until(lambda: len(inbox.parts) == 16)
    assert a.transport.counters.pauses == 0
    pipe = await raw_stream(await swarm.liar(a), a, BULK_PROTOCOL)
    flooding = asyncio.create_task(flood(pipe, part_prefix(1, 8 << 20) + b"h" + bytes(8 << 20)))
    await until(lambda: a.transport.counters.pauses)
    b.transport.send_part(a.peer_id, b"still of use", bytes(4 << 20))
    await until(lambda: len(inbox.parts) == 17)
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)


async def test_a_part_that_turns_out_useless_is_paid_for(swarm: Swarm) -> None:
    class Disappointed(Recorder):
        def on_part(self, sender: PeerId, header: bytes, payload: memoryview, digest: bytes) -> bool:
            super().on_part(sender, header, payload, digest)
            return True

    a, inbox = await swarm.node(inbox=Disappointed(), limits=Limits(work_share=0.02, work_burst_seconds=0.01))
    b, _ = await swarm.node(a)
    for _ in range(4):
        b.transport.send_part(a.peer_id, b"wrong", bytes(4 << 20))
    await until(lambda: len(inbox.parts) == 4)
    assert a.transport.counters.pauses >= 1


async def test_a_peer_that_opens_too_many_streams_is_disconnected(swarm: Swarm) -> None:
    a, inbox = await swarm.node(limits=Limits(openings_rate=1, openings_burst=20))
    b, _ = await swarm.node(a)
    liar = await swarm.liar(a)
    for _ in range(100):
        with contextlib.suppress(DaemonError):
            (await raw_stream(liar, a, CONTROL_PROTOCOL)).abort()
    await until(lambda: a.transport.counters.disconnections)
    b.transport.send(a.peer_id, b"fine")
    await until(lambda: inbox.messages == [(b.peer_id, b"fine")])


async def test_streams_of_strangers_are_bounded_together(swarm: Swarm) -> None:
    a, inbox = await swarm.node(limits=Limits(stranger_streams=3))
    member, _ = await swarm.node(a)
    a.transport.is_member = lambda peer: peer == member.peer_id
    member.transport.send(a.peer_id, b"first")
    await until(lambda: inbox.messages)
    liars = [await swarm.liar(a) for _ in range(3)]
    pipes = [await raw_stream(liar, a, CONTROL_PROTOCOL) for liar in liars for _ in range(2)]
    await until(lambda: sum(not pipe.lost for pipe in pipes) == 3)
    member.transport.send(a.peer_id, b"second")
    await until(lambda: len(inbox.messages) == 2)


@pytest.mark.parametrize("member", [True, False])
async def test_a_stranger_may_not_say_much_at_a_time(swarm: Swarm, member: bool) -> None:
    a, inbox = await swarm.node(limits=Limits(stranger_message_bytes=1000))
    liar = await swarm.liar(a)
    a.transport.is_member = lambda peer: member
    pipe = await raw_stream(liar, a, CONTROL_PROTOCOL)
    await pipe.write(framed(bytes(1000)) + framed(bytes(1001)), 5)
    await until(lambda: len(inbox.messages) == 2 if member else pipe.lost)
    assert len(inbox.messages) == 1 + member


async def test_a_new_member_no_longer_waits_behind_strangers(swarm: Swarm) -> None:
    limits = Limits(work_share=0.001, work_burst_seconds=0.01)
    a, inbox = await swarm.node(inbox=Costly(), limits=limits)
    newcomer, _ = await swarm.node(a)
    members: set[PeerId] = set()
    a.transport.is_member = members.__contains__
    newcomer.transport.send(a.peer_id, b"early")
    await until(lambda: inbox.of(newcomer.peer_id) == 1)
    flooding = await flooded(swarm, a)
    newcomer.transport.send(a.peer_id, b"as a stranger")
    members.add(newcomer.peer_id)
    await until(lambda: inbox.of(newcomer.peer_id) == 2)
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)


async def flooded(swarm: Swarm, node: Libp2pNode) -> asyncio.Task[None]:
    """Use up what strangers have."""
    liar: Daemon = await swarm.liar(node)
    pipe = await raw_stream(liar, node, CONTROL_PROTOCOL)
    task = asyncio.create_task(flood(pipe, framed(bytes(4092)) * 16))
    await until(lambda: node.transport.counters.pauses)
    return task
