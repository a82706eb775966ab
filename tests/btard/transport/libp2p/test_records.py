"""Signed records: looked up by author, numbered by their author alone, stored for those that are known."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.routing import DHTID
from hivemind.p2p import PeerID
from hivemind.utils.timed_storage import ValueWithExpiration

from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.transport.base import PeerAddress
from btard.transport.libp2p import Libp2pNode, RecordError
from btard.transport.libp2p.newest import NewestRecords
from btard.transport.libp2p.record_rules import (
    CLOCK_SLACK_SECONDS,
    MAX_RECORD,
    MAX_TTL_SECONDS,
    expiry_of,
    key_of,
    record_key,
)
from tests.btard.transport.libp2p.conftest import Swarm

RUN = bytes(range(16))
KIND = MessageKind.METRICS
HOUR = 3600.0


def record(node: Libp2pNode, body: bytes = b"body", *, run: bytes = RUN, kind: MessageKind = KIND) -> Envelope:
    """What a node's own peer tells; its number is given by publishing."""
    return Envelope.sign(key_file(node), run=run, step=0, kind=kind, body=body)


def key_file(node: Libp2pNode) -> IdentityKey:
    return node.records._key


def numbered(key: IdentityKey, number: int, body: bytes = b"body", kind: MessageKind = KIND) -> Envelope:
    return Envelope.sign(key, run=RUN, step=number, kind=kind, body=body)


def now() -> int:
    return int(time.time() * 1000)


async def seen(reader: Libp2pNode, author: PeerId, kind: MessageKind = KIND, run: bytes = RUN) -> Envelope | None:
    return (await reader.records.read(run, kind, [author])).get(author)


async def body_seen(reader: Libp2pNode, author: PeerId) -> bytes | None:
    found = await seen(reader, author)
    return None if found is None else found.body


async def push(
    liar: Libp2pNode, victim: Libp2pNode, envelope: Envelope, *, key: DHTID | None = None, expiration: float = 0.0
) -> bool:
    """Ask a node to store a record, by hand; whether it says that it has."""
    answer = await liar.dht.protocol.call_store(
        PeerID(bytes(victim.peer_id)),
        [key_of(envelope) if key is None else key],
        [DHTProtocol.serializer.dumps(envelope.encode())],
        expiration or expiry_of(envelope.step),
    )
    return bool(answer and answer[0])


async def test_the_newest_record_of_each_author_is_read(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    c, _ = await swarm.node(a)
    for body in (b"first", b"second"):
        for node in (b, c):
            await node.records.publish(record(node, body), 60)
    found = await a.records.read(RUN, KIND, [a.peer_id, b.peer_id, c.peer_id])
    assert {author: envelope.body for author, envelope in found.items()} == {b.peer_id: b"second", c.peer_id: b"second"}
    assert await seen(a, b.peer_id, MessageKind.BANS) is None
    assert await seen(a, b.peer_id, run=bytes(16)) is None


async def test_a_record_outlives_its_authors_node(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    await b.records.publish(record(b), 60)
    await b.close()
    c, _ = await swarm.node(a)
    assert await body_seen(c, b.peer_id) == b"body"


async def test_what_cannot_be_published_is_an_error(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    with pytest.raises(RecordError, match="bytes"):
        await a.records.publish(record(a, bytes(MAX_RECORD)), 60)
    with pytest.raises(RecordError, match="lives"):
        await a.records.publish(record(a), MAX_TTL_SECONDS + 1)
    with pytest.raises(RecordError, match="records of its own"):
        await a.records.publish(numbered(IdentityKey.generate(), 1), 60)
    with pytest.raises(RecordError, match="records of its own"):
        await a.records.publish(record(a, kind=MessageKind.VOTE), 60)


async def test_a_lone_node_keeps_its_record_for_the_first_comer(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    await a.records.publish(record(a), 60)
    b, _ = await swarm.node(a)
    assert await body_seen(b, a.peer_id) == b"body"


async def test_a_node_that_comes_is_handed_what_it_is_to_keep(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    await b.records.publish(record(b), 60)
    c, _ = await swarm.node(a)
    async with asyncio.timeout(60):
        while record_key(RUN, KIND, b.peer_id) not in c.dht.protocol.storage:  # noqa: ASYNC110 - another node's doing
            await asyncio.sleep(0.02)


async def test_a_lone_node_learns_which_connected_peer_to_ask(swarm: Swarm) -> None:
    """All through which it might have come in are gone, but it has a connection."""
    a, _ = await swarm.node()
    await a.records.publish(record(a), 60)
    alone, _ = await swarm.node()
    await alone.transport.connect(PeerAddress(a.peer_id, a.maddrs))
    assert await body_seen(alone, a.peer_id) is None
    alone.records.seek([a.peer_id])
    async with asyncio.timeout(60):
        while await body_seen(alone, a.peer_id) != b"body":  # noqa: ASYNC110 - another node's doing
            await asyncio.sleep(0.02)


async def test_a_publication_that_nobody_keeps_is_told(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    a.records.know(lambda _: False)
    with pytest.raises(RecordError, match="no other node keeps the record"):
        await b.records.publish(record(b), 60)
    a.records.know(lambda peer: peer == b.peer_id)
    await b.records.publish(record(b, b"known"), 60)
    assert await body_seen(a, b.peer_id) == b"known"


async def test_a_word_that_it_is_stored_is_not_enough(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    monkeypatch.setattr(a.dht.protocol.storage, "get", lambda key: None)
    with pytest.raises(RecordError, match="no other node keeps the record"):
        await b.records.publish(record(b), 60)


async def test_a_replay_with_a_later_expiry_is_refused(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    liar, _ = await swarm.node(a)
    await b.records.publish(record(b, b"old"), 60)
    old = await seen(liar, b.peer_id)
    assert old is not None
    assert not await push(liar, a, old, expiration=expiry_of(old.step) + HOUR)
    await b.records.publish(record(b, b"new"), 60)
    assert not await push(liar, a, old)
    assert await body_seen(a, b.peer_id) == b"new"


async def test_nodes_refuse_what_is_not_the_authors(swarm: Swarm) -> None:
    honest, _ = await swarm.node()
    liar, _ = await swarm.node(honest)
    author, other = IdentityKey.generate(), IdentityKey.generate()
    good = numbered(author, now())
    forged = Envelope(RUN, good.step, 0, KIND, other.peer_id, b"body", good.signature)
    refused: list[tuple[Envelope, DHTID | None]] = [
        (good, key_of(numbered(other, 1))),
        (good, record_key(bytes(16), KIND, author.peer_id)),
        (good, record_key(RUN, MessageKind.BANS, author.peer_id)),
        (numbered(author, now(), bytes(MAX_RECORD)), None),
        (numbered(author, now(), kind=MessageKind.VOTE), None),
        (numbered(author, now() - int(CLOCK_SLACK_SECONDS * 1000) - 1000), None),
    ]
    for envelope, key in refused:
        assert not await push(liar, honest, envelope, key=key), envelope
    for value in (b"garbage", "text", [1, 2], {"a": 1}, good.encode()[:-1]):
        packed = DHTProtocol.serializer.dumps(value)
        arguments = ([key_of(good)], [packed], expiry_of(good.step))
        assert await liar.dht.protocol.call_store(PeerID(bytes(honest.peer_id)), *arguments) == [False]
    for subkey in ("x", b"", str(author.peer_id)):
        packed = DHTProtocol.serializer.dumps(good.encode())
        to = PeerID(bytes(honest.peer_id))
        stored = await liar.dht.protocol.call_store(to, [key_of(good)], [packed], expiry_of(good.step), [subkey])
        assert stored == [False]
    for late in (1e-3, HOUR):
        assert not await push(liar, honest, good, expiration=expiry_of(good.step) + late)
    assert await push(liar, honest, good)
    assert not await push(liar, honest, forged)
    assert list(honest.dht.protocol.storage.data) == [key_of(good)]


async def test_a_flood_of_strangers_changes_nothing(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    liar, _ = await swarm.node(a)
    members = {a.peer_id, b.peer_id}
    for node in (a, b):
        node.records.know(lambda peer: peer in members)
    await b.records.publish(record(b, b"before"), 60)
    for _ in range(60):
        await push(liar, a, numbered(IdentityKey.generate(), now() + 10**9, kind=MessageKind.JOIN))
    assert {kept.envelope.author for kept in a.dht.protocol.storage.data.values()} == {b.peer_id}
    await b.records.publish(record(b, b"after"), 60)
    assert await body_seen(a, b.peer_id) == b"after"
    assert liar.peer_id not in a.records.met


async def test_a_reader_never_goes_back(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    await b.records.publish(record(b, b"old"), 60)
    old = b.dht.protocol.storage.get(record_key(RUN, KIND, b.peer_id))
    await b.records.publish(record(b, b"new"), 60)
    assert await body_seen(a, b.peer_id) == b"new"
    a.dht.protocol.storage.data.clear()
    monkeypatch.setattr(b.dht.protocol.storage, "get", lambda key: old)
    assert await body_seen(a, b.peer_id) == b"new"


async def test_the_author_itself_is_asked(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner of all nodes near a key can withhold a record, or serve an old one to a reader without another."""
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    c, _ = await swarm.node(a, b, client=True)
    await b.records.publish(record(b), 60)

    async def nothing(*arguments: object, **options: object) -> dict[DHTID, dict[DHTID, PeerID]]:
        return {}

    monkeypatch.setattr(c.dht, "find_nearest_nodes", nothing)
    assert await body_seen(c, b.peer_id) == b"body"


async def test_junk_in_answers_is_passed_over(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    c, _ = await swarm.node(a)
    await b.records.publish(record(b), 60)
    for junk in (b"", b"\xc4", b"x" * (MAX_RECORD + 100), DHTProtocol.serializer.dumps(b"\x96" * 9)):
        late = ValueWithExpiration(junk, time.time() + 10**7)
        monkeypatch.setattr(a.dht.protocol.storage, "get", lambda key, late=late: late)
        c.dht.protocol.newest = NewestRecords(c.dht.protocol.rules)
        assert await body_seen(c, b.peer_id) == b"body"


KINDS = (MessageKind.METRICS, MessageKind.BANS, MessageKind.JOIN, MessageKind.GENESIS)
"""Independent of each other, so that one pair of nodes serves for several cases."""


async def publish_by(node: Libp2pNode, body: bytes, wrong_by: float, kind: MessageKind = KIND) -> None:
    node.dht.protocol.rules.clock = lambda: time.time() + wrong_by
    await node.records.publish(record(node, body, kind=kind), 60)


@pytest.mark.parametrize("keeper", [-20 * HOUR, -0.2 * HOUR, 3 * HOUR])
async def test_a_wrong_clock_keeps_nobody_from_publishing(swarm: Swarm, keeper: float) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    a.dht.protocol.rules.clock = lambda: time.time() + keeper
    for kind, author in zip(KINDS, (-20 * HOUR, -0.2 * HOUR, 0.2 * HOUR, 20 * HOUR), strict=True):
        for body in (b"1", b"2"):
            await publish_by(b, body, author, kind)
            found = await seen(a, b.peer_id, kind)
            assert found is not None and found.body == body


async def test_a_clock_that_is_set_does_not_freeze_its_owner(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    changes = [(0.0, -HOUR, -300 * HOUR), (20 * HOUR, 0.0), (10**6 * HOUR, 0.0), (0.0, HOUR, 0.0)]
    for kind, clocks in zip(KINDS, changes, strict=True):
        for number, wrong_by in enumerate(clocks):
            await publish_by(b, b"%d" % number, wrong_by, kind)
            found = await seen(a, b.peer_id, kind)
            assert found is not None and found.body == b"%d" % number


async def test_nor_does_one_that_is_set_back_before_a_restart(swarm: Swarm, tmp_path: Path) -> None:
    a, _ = await swarm.node()
    b = await Libp2pNode.create(tmp_path / "b", a.maddrs)
    cases = list(zip(KINDS, (-10 * HOUR, -1000 * HOUR), strict=False))
    for kind, _ in cases:
        await publish_by(b, b"before", 0.0, kind)
    await b.close()
    b = await Libp2pNode.create(tmp_path / "b", a.maddrs)
    try:
        for kind, wrong_by in cases:
            await publish_by(b, b"after", wrong_by, kind)
            found = await seen(a, b.peer_id, kind)
            assert found is not None and found.body == b"after"
    finally:
        await b.close()


async def test_numbers_go_on_while_the_clock_stands_still(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the record of an owner whose clock was set back would expire, and none that follows would be taken."""
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    await publish_by(b, b"before", 0.0)
    first = await seen(a, b.peer_id)
    passed = time.monotonic() + 5 * HOUR
    monkeypatch.setattr("btard.transport.libp2p.records.time.monotonic", lambda: passed)
    await publish_by(b, b"after", -HOUR)
    second = await seen(a, b.peer_id)
    assert first is not None and second is not None
    assert second.step >= first.step + 5 * HOUR * 1000
