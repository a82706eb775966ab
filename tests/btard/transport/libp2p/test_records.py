"""Signed records: published and read, forged and oversized ones refused by the nodes themselves."""

from __future__ import annotations

import pytest
from hivemind.dht.routing import DHTID
from hivemind.utils import get_dht_time

from btard.identity import Envelope, IdentityKey, MessageKind
from btard.transport.libp2p import Libp2pNode, RecordError
from btard.transport.libp2p.records import MAX_RECORD, MAX_TTL
from btard.transport.libp2p.storage import MAX_KEYS, BoundedStorage
from tests.btard.transport.libp2p.conftest import Swarm

RUN = bytes(16)


def envelope(key: IdentityKey, step: int, body: bytes = b"body") -> Envelope:
    return Envelope.sign(key, run=RUN, step=step, kind=MessageKind.METRICS, body=body)


async def test_the_latest_record_of_each_author_is_read(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    keys = [IdentityKey.generate() for _ in range(3)]
    for number, key in enumerate(keys):
        await b.records.publish("heads", envelope(key, number), 60)
    newer = envelope(keys[0], 7)
    await b.records.publish("heads", newer, 61)
    found = await a.records.read("heads")
    assert set(found) == {key.peer_id for key in keys}
    assert found[keys[0].peer_id] == newer
    assert len(await a.records.read("heads", limit=2)) == 2
    assert await a.records.read("other") == {}


async def test_what_cannot_be_published_is_an_error(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    key = IdentityKey.generate()
    with pytest.raises(RecordError, match="bytes"):
        await a.records.publish("heads", envelope(key, 1, bytes(MAX_RECORD)), 60)
    with pytest.raises(RecordError, match="lives"):
        await a.records.publish("heads", envelope(key, 1), MAX_TTL + 1)


def test_a_flooded_key_stays_small_and_readable() -> None:
    storage = BoundedStorage()
    later = get_dht_time() + 1000
    stored = [storage.store_subkey(DHTID(1), f"author {number}", bytes(32 << 10), later) for number in range(100)]
    assert 0 < sum(stored) < 70
    assert storage.store_subkey(DHTID(1), "author 0", bytes(32 << 10), later + 1)
    assert storage.store_subkey(DHTID(2), "author 0", b"", later)
    for number in range(5000):
        storage.store_subkey(DHTID(3), "author", b"", later + number)
        storage.store_subkey(DHTID(10 + number), "author", b"", later)
    assert len(storage.data) <= MAX_KEYS
    assert len(storage.expiration_heap) < 3 * MAX_KEYS
    assert len(storage.get(DHTID(3)).value.expiration_heap) < 100


async def store_unchecked(liar: Libp2pNode, value: object, subkey: str | None, ttl: float = 60) -> None:
    """Store like a node that checks nothing, also in its own memory."""
    liar.dht.protocol.record_validator = None
    await liar.dht.store("heads", value, get_dht_time() + ttl, subkey=subkey)


async def test_nodes_refuse_what_the_author_did_not_sign(swarm: Swarm) -> None:
    honest, _ = await swarm.node()
    liar, _ = await swarm.node(honest)
    author, other = IdentityKey.generate(), IdentityKey.generate()
    good = envelope(author, 1)
    tampered = good.encode()[:-1] + bytes([good.encode()[-1] ^ 1])
    for value, subkey in [
        (envelope(other, 1).encode(), str(author.peer_id)),
        (tampered, str(author.peer_id)),
        (b"garbage", str(author.peer_id)),
        (good.encode(), "not a peer id"),
        (good.encode(), None),
        (envelope(author, 1, bytes(MAX_RECORD)).encode(), str(author.peer_id)),
        ("text", str(author.peer_id)),
        ([1, 2], str(author.peer_id)),
    ]:
        await store_unchecked(liar, value, subkey)
        assert not honest.dht.protocol.storage.data, (value, subkey)
        assert await honest.records.read("heads") == {}
    await store_unchecked(liar, good.encode(), str(author.peer_id), ttl=MAX_TTL + 1000)
    assert not honest.dht.protocol.storage.data
    await store_unchecked(liar, good.encode(), str(author.peer_id))
    assert len(honest.dht.protocol.storage.data) == 1
