"""Peers that cannot dial each other: a third passes on what they say, members' above all, and within bounds."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import pytest

from btard.hashing import digest
from btard.identity import PeerId
from btard.transport.base import PeerAddress
from btard.transport.libp2p import FetchError, Libp2pNode, Limits
from btard.transport.libp2p.control import read_message, relay_in, varint
from btard.transport.libp2p.daemon import Daemon
from btard.transport.libp2p.probing import message_field, message_fields
from btard.transport.libp2p.relaying import HOP_PROTOCOL
from tests.btard.transport.libp2p.conftest import DEADLINE, Recorder, Swarm, until

NOWHERE = "/ip4/127.0.0.1/tcp/9"
"""Where nobody listens: what others see of a peer behind a NAT."""

OK, TOO_MANY, NOT_HERE, MALFORMED = 100, 201, 204, 400
RESERVE = b"\x08\x00"
SHORT = Limits(head_start=0.3)


async def hidden(swarm: Swarm, *initial: Libp2pNode, **options: Any) -> tuple[Libp2pNode, Recorder]:
    """A node that nobody can dial."""
    return await swarm.node(*initial, announce_maddrs=[NOWHERE], limits=SHORT, **options)


async def pair(swarm: Swarm, *relays: Libp2pNode) -> tuple[Libp2pNode, Recorder, Libp2pNode, Recorder]:
    """Two hidden nodes that know of each other, and have the same neighbours."""
    (a, of_a), (b, of_b) = [await hidden(swarm, *relays) for _ in range(2)]
    for one, other in ((a, b), (b, a)):
        one.transport.remember(PeerAddress(other.peer_id, (NOWHERE,)))
    return a, of_a, b, of_b


async def relay_of(node: Libp2pNode, peer: PeerId) -> PeerId | None:
    """Over whom a node is connected with a peer."""
    return next(one.relay for one in await node.control.neighbours(DEADLINE) if one.peer == peer)


def asks_for(peer: bytes) -> bytes:
    """HopMessage{type: CONNECT, peer: {id}}."""
    return b"\x08\x01" + message_field(2, message_field(1, peer))


async def asked(liar: Daemon, relay: Libp2pNode, message: bytes, then: bytes = b"") -> int | None:
    """What a relay answers to a request, None for nothing, and whether the stream stays open."""
    answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    def heard(data: bytes | None) -> None:
        if not answer.done():
            answer.set_result(data)

    pipe = await liar.control.open_stream(
        relay.peer_id, HOP_PROTOCOL, lambda _: read_message(heard), DEADLINE, lambda _: heard(None)
    )
    pipe.write_now(varint(len(message)) + message + then)
    data = await asyncio.wait_for(answer, DEADLINE)
    return None if data is None else dict(message_fields(data)).get(5)  # type: ignore[return-value]


async def test_hidden_peers_talk_over_a_third(swarm: Swarm, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    relay, _ = await swarm.node()
    a, of_a, b, of_b = await pair(swarm, relay)
    a.transport.send(b.peer_id, b"hello")
    b.transport.send(a.peer_id, b"hello yourself")
    payload = os.urandom(3 << 20)
    a.transport.send_part(b.peer_id, b"header", payload)
    await until(lambda: of_b.parts and of_b.messages and of_a.messages)
    assert of_b.messages == [(a.peer_id, b"hello")]
    assert of_a.messages == [(b.peer_id, b"hello yourself")]
    assert of_b.parts[0][0] == a.peer_id and of_b.parts[0][3] == digest(payload)
    assert await relay_of(a, b.peer_id) == relay.peer_id
    told = [record.getMessage() for record in caplog.records if "is reached over a relay" in record.getMessage()]
    words = f"{b.peer_id.short} is reached over a relay: {relay.peer_id.short} passes on what is said"
    assert told.count(words) == 1, "once, and not at every stream"


async def test_hidden_peers_answer_questions_over_a_third(swarm: Swarm) -> None:
    relay, _ = await swarm.node()
    a, _, b, _ = await pair(swarm, relay)

    async def serve(peer: PeerId, question: bytes) -> bytes:
        return bytes(peer) + question

    b.transport.serve_with(serve)
    assert await a.transport.fetch(b.peer_id, b"?", limit=100, timeout_seconds=DEADLINE) == bytes(a.peer_id) + b"?"


async def test_another_takes_the_place_of_a_dead_relay(swarm: Swarm) -> None:
    relays = [(await swarm.node())[0]]
    relays.append((await swarm.node(*relays))[0])
    a, of_a, b, of_b = await pair(swarm, *relays)
    a.transport.send(b.peer_id, b"first")
    await until(lambda: of_b.messages)
    dead = await relay_of(a, b.peer_id)
    (left,) = [one for one in relays if one.peer_id != dead]
    await next(one for one in relays if one.peer_id == dead).close()
    async with asyncio.timeout(DEADLINE):
        while (b.peer_id, b"again") not in of_a.messages:
            b.transport.send(a.peer_id, b"again")
            await asyncio.sleep(0.1)
    assert await relay_of(b, a.peer_id) == left.peer_id


async def test_a_peer_that_can_be_dialled_is_dialled(swarm: Swarm) -> None:
    relay, _ = await swarm.node()
    a, inbox = await swarm.node(relay)
    b, _ = await hidden(swarm, relay)
    b.transport.remember(PeerAddress(a.peer_id, (NOWHERE, *a.maddrs)))
    b.transport.send(a.peer_id, b"hello")
    await until(lambda: inbox.messages)
    assert await relay_of(b, a.peer_id) is None


async def test_nobody_is_reached_over_a_peer_that_does_not_know_it(swarm: Swarm) -> None:
    relay, _ = await swarm.node()
    a, _ = await hidden(swarm, relay)
    b, _ = await hidden(swarm)
    a.transport.remember(PeerAddress(b.peer_id, (NOWHERE,)))
    with pytest.raises(FetchError, match="none of 1 neighbours leads to it"):
        await a.transport.fetch(b.peer_id, b"?", limit=100, timeout_seconds=DEADLINE)


async def test_a_relay_answers_what_it_is_asked(swarm: Swarm) -> None:
    relay, _ = await swarm.node()
    node, _ = await swarm.node(relay)
    liar = await swarm.liar(relay)
    unknown = PeerId.from_public_key(bytes(32))
    assert await asked(liar, relay, RESERVE) == OK
    assert await asked(liar, relay, asks_for(unknown)) == NOT_HERE
    assert await asked(liar, relay, asks_for(liar.peer_id)) == NOT_HERE, "nobody is connected with itself"
    for wrong in (asks_for(b"no id"), b"\x08\x01", b"\x08\x07", b"\xff\xff", b"", asks_for(b"")):
        assert await asked(liar, relay, wrong) == MALFORMED, wrong
    assert await asked(liar, relay, bytes(5000)) is None, "longer than any request"
    assert await asked(liar, relay, asks_for(node.peer_id)) == OK


async def test_a_peer_that_speaks_too_soon_is_cut_off(swarm: Swarm) -> None:
    relay, _ = await swarm.node()
    node, _ = await swarm.node(relay)
    liar = await swarm.liar(relay)
    assert await asked(liar, relay, asks_for(node.peer_id), then=b"too soon") is None


async def test_strangers_have_few_circuits_together(swarm: Swarm) -> None:
    limits = Limits(stranger_circuits=2)
    relay, _ = await swarm.node(limits=limits)
    node, _ = await swarm.node(relay)
    relay.transport.is_member = lambda peer: peer == node.peer_id
    liar = await swarm.liar(relay)
    held = []
    for _ in range(2):
        pipe = await liar.control.open_stream(relay.peer_id, HOP_PROTOCOL, silent, DEADLINE)
        pipe.write_now(varint(len(request := asks_for(node.peer_id))) + request)
        held.append(pipe)
    async with asyncio.timeout(DEADLINE):
        while await asked(liar, relay, RESERVE) != TOO_MANY:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    for pipe in held:
        pipe.abort()
    async with asyncio.timeout(DEADLINE):
        while await asked(liar, relay, RESERVE) != OK:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)


def silent(_: object) -> Any:
    """Parse what nobody looks at."""
    buffer = memoryview(bytearray(1 << 16))
    while True:
        yield buffer


def test_only_an_address_over_a_relay_names_one() -> None:
    relay = PeerId.from_public_key(bytes(32))
    circuit = b"\xa5\x03" + varint(len(relay)) + bytes(relay) + b"\xa2\x02"
    assert relay_in(circuit) == relay
    assert relay_in(bytes([4, 127, 0, 0, 1, 6, 0, 80])) is None
    assert relay_in(b"\xff\xff", b"") is None
