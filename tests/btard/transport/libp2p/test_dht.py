"""The DHT's own bounds: one node id a peer, and requests that are refused before they cost anything."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest
from hivemind.dht.routing import DHTID
from hivemind.p2p import PeerID
from hivemind.proto import dht_pb2

from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.transport.libp2p import Libp2pNode
from btard.transport.libp2p.allowance import BURST, RATE, STRANGERS, Allowances
from btard.transport.libp2p.dht import BUCKET_SIZE, MAX_KEYS, MAX_REPLACEMENTS, OneIdTable
from btard.transport.libp2p.record_rules import node_id_of, record_key
from tests.btard.transport.libp2p.conftest import Swarm

RUN = bytes(range(16))
FILLED = 3000


def peer_ids(count: int) -> list[PeerId]:
    return [IdentityKey.from_seed(number.to_bytes(32, "big")).peer_id for number in range(count)]


def theirs(peer: PeerId) -> PeerID:
    return PeerID(bytes(peer))


def own_ids(node: Libp2pNode) -> Counter[str]:
    """How many node ids a node knows of each peer."""
    return Counter(map(str, node.dht.protocol.routing_table.uid_to_peer_id.values()))


async def publish_all(node: Libp2pNode, reader: Libp2pNode) -> None:
    """Twenty publications succeed, and each is read."""
    for number in range(20):
        body = b"%d" % number
        signed = Envelope.sign(node.records._key, run=RUN, step=0, kind=MessageKind.METRICS, body=body)
        await node.records.publish(signed, 60)
        found = await reader.records.read(RUN, MessageKind.METRICS, [node.peer_id])
        assert found[node.peer_id].body == body


async def test_a_restart_keeps_the_node_id(swarm: Swarm, tmp_path: Path) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    for _ in range(3):
        c = await Libp2pNode.create(tmp_path / "c", a.maddrs)
        assert c.dht.node_id == node_id_of(c.peer_id)
        await publish_all(a, b)
        await c.close()
        await publish_all(a, b)
    assert set(own_ids(a).values()) == {1}
    assert set(own_ids(b).values()) == {1}


async def test_two_nodes_of_one_key_disturb_no_others(
    swarm: Swarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that start at the same moment do not notice each other."""

    async def unnoticed(*arguments: object, **options: object) -> None:
        return None

    monkeypatch.setattr("btard.transport.libp2p.node.refuse_twin", unnoticed)
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    (tmp_path / "copy").mkdir()
    one = await Libp2pNode.create(tmp_path / "c", a.maddrs)
    shutil.copy(tmp_path / "c", tmp_path / "copy" / "c")
    other = await Libp2pNode.create(tmp_path / "copy" / "c", a.maddrs)
    try:
        await publish_all(a, b)
        await publish_all(b, a)
    finally:
        await other.close()
    try:
        for node, reader in ((a, b), (b, a), (one, a)):
            await publish_all(node, reader)
        assert set(own_ids(a).values()) == {1}
    finally:
        await one.close()


def test_a_table_takes_a_peer_under_its_own_node_id_only() -> None:
    me, peer, other = peer_ids(3)
    table = OneIdTable(node_id_of(me))
    for node_id in (DHTID(0), node_id_of(other), node_id_of(me)):
        table.add_or_update_node(node_id, theirs(peer))
    table.add_or_update_node(node_id_of(me), theirs(me))
    table.add_or_update_node(DHTID(7), PeerID(b"\x12\x20" + bytes(32)))
    assert not table.uid_to_peer_id
    table.add_or_update_node(node_id_of(peer), theirs(peer))
    assert table.uid_to_peer_id == {node_id_of(peer): theirs(peer)}


def test_a_table_stays_small_and_has_known_peers_only() -> None:
    me, *others = peer_ids(FILLED)
    table = OneIdTable(node_id_of(me))
    for peer in others:
        table.add_or_update_node(node_id_of(peer), theirs(peer))
    assert all(len(bucket.replacement_nodes) <= MAX_REPLACEMENTS for bucket in table.buckets)
    assert len(table.uid_to_peer_id) < 0.6 * FILLED
    assert len(table.uid_to_peer_id) == len(table.peer_id_to_uid)
    table.known = set(others[:3]).__contains__
    table.forget_unknown()
    table.add_or_update_node(node_id_of(others[5]), theirs(others[5]))
    assert set(table.peer_id_to_uid) <= set(map(theirs, others[:3]))


async def test_a_node_under_another_node_id_is_not_taken_in(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    for number in range(3):
        liar, _ = await swarm.node()
        liar.dht.protocol.node_info = dht_pb2.NodeInfo(node_id=DHTID(number).to_bytes())
        await swarm_connect(liar, a)
        await liar.dht.protocol.call_ping(theirs(a.peer_id))
        await liar.dht.protocol.call_find(theirs(a.peer_id), [DHTID(5)])
    assert set(own_ids(a)) == {str(theirs(b.peer_id))}


async def swarm_connect(one: Libp2pNode, other: Libp2pNode) -> None:
    await one.control.connect(other.peer_id, [maddr.split("/p2p/")[0] for maddr in other.maddrs], 10)


async def test_nodes_find_each_other_again_after_an_outage(swarm: Swarm) -> None:
    """Each took the other for dead, so neither would ask the other any more."""
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    for node, other in ((a, b), (b, a)):
        await node.dht.protocol.update_routing_table(None, theirs(other.peer_id), responded=False)
        for _ in range(10):
            node.dht.blacklist.register_failure(theirs(other.peer_id))
        assert not node.records.met
    await publish_all(a, b)
    assert (a.records.met, b.records.met) == ([b.peer_id], [a.peer_id])


async def test_nodes_that_an_answer_makes_up_are_passed_over(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    made_up = [(DHTID(number), theirs(peer)) for number, peer in enumerate(peer_ids(3))]
    crowd = [(node_id_of(peer), theirs(peer)) for peer in peer_ids(3 * BUCKET_SIZE)]
    monkeypatch.setattr(a.dht.protocol.routing_table, "get_nearest_neighbors", lambda *_, **__: made_up + crowd)
    answer = await b.dht.protocol.call_find(theirs(a.peer_id), [DHTID(5)])
    assert answer is not None
    _, nearest = answer[DHTID(5)]
    assert set(nearest.items()) <= set(crowd) and len(nearest) <= BUCKET_SIZE
    b.records.know(lambda _: False)
    answer = await b.dht.protocol.call_find(theirs(a.peer_id), [DHTID(5)])
    assert answer is not None and answer[DHTID(5)] == (None, {})


async def test_requests_for_too_much_are_refused(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    protocol = b.dht.protocol
    assert await protocol.call_find(theirs(a.peer_id), [DHTID(number) for number in range(MAX_KEYS)]) is not None
    assert await protocol.call_find(theirs(a.peer_id), [DHTID(number) for number in range(MAX_KEYS + 1)]) is None
    stub = protocol.get_stub(theirs(a.peer_id))
    for raw in (b"", b"x" * 19, b"x" * 21, b"x" * 10_000):
        assert not (await stub.rpc_find(dht_pb2.FindRequest(keys=[raw]), timeout=5)).results
        store = dht_pb2.StoreRequest(keys=[raw], subkeys=[b"\xc0"], values=[b"v"], expiration_time=[1.0])
        assert list((await stub.rpc_store(store, timeout=5)).store_ok) == [False]
        await stub.rpc_ping(dht_pb2.PingRequest(peer=dht_pb2.NodeInfo(node_id=raw)), timeout=5)
    uneven = dht_pb2.StoreRequest(keys=[bytes(20)] * 3, values=[b"v"], expiration_time=[float("nan")])
    assert list((await stub.rpc_store(uneven, timeout=5)).store_ok) == [False] * 3
    dictionary = {"subkeys": [b""], "values": [b"\xc7\x05\x50abcde"], "expiration_time": [9e9]}
    refused = await stub.rpc_store(dht_pb2.StoreRequest(keys=[bytes(20)], **dictionary), timeout=5)
    assert list(refused.store_ok) == [False]
    assert not a.dht.protocol.storage.data


async def test_a_flood_of_requests_ends_the_connection(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    c, _ = await swarm.node(a)
    closed: list[PeerId] = []
    disconnect = a.control.disconnect

    async def noted(peer: PeerId, timeout_seconds: float) -> None:
        closed.append(peer)
        await disconnect(peer, timeout_seconds)

    monkeypatch.setattr(a.control, "disconnect", noted)
    keys = [DHTID(number) for number in range(MAX_KEYS)]
    request = dht_pb2.FindRequest(keys=[key.to_bytes() for key in keys])

    async def flood() -> None:
        stub = b.dht.protocol.get_stub(theirs(a.peer_id))
        while not closed:
            await asyncio.gather(*(stub.rpc_find(request, timeout=5) for _ in range(20)), return_exceptions=True)

    async with asyncio.timeout(60):
        await flood()
    assert set(closed) == {b.peer_id}
    assert await c.dht.protocol.call_find(theirs(a.peer_id), keys) is not None


async def test_forged_records_cost_their_bringer_its_allowance(swarm: Swarm) -> None:
    a, _ = await swarm.node()
    b, _ = await swarm.node(a)
    author = IdentityKey.generate()
    genuine = Envelope.sign(author, run=RUN, step=int(time.time() * 1000), kind=MessageKind.JOIN, body=b"")
    forged = Envelope(RUN, genuine.step, 0, genuine.kind, genuine.author, b"x", genuine.signature)
    protocol = b.dht.protocol
    key, value = record_key(RUN, MessageKind.JOIN, author.peer_id), protocol.serializer.dumps(forged.encode())
    expiration = genuine.step / 1000 + 86400.0
    await protocol.call_store(theirs(a.peer_id), [key] * 10, [value] * 10, [expiration] * 10)
    assert a.dht.protocol.allowances.left(theirs(b.peer_id)) < RATE


def test_an_allowance_fills_with_time() -> None:
    now, flooded = [0.0], []
    allowances = Allowances(flooded.append, lambda _: False, lambda: now[0])
    one, other = map(theirs, peer_ids(2))
    assert allowances.spend(one, int(BURST))
    assert not allowances.spend(one, 1)
    assert allowances.spend(other, 1)
    now[0] = 100 / RATE
    assert not allowances.spend(one, 100)
    now[0] = 300 / RATE
    assert allowances.spend(one, 50)
    assert not flooded
    for _ in range(int(BURST) + 200):
        allowances.spend(one, 0)
    assert set(flooded) == {one}
    allowances.empty(other)
    assert not allowances.spend(other, 1)


def test_a_crowd_of_strangers_shares_an_allowance() -> None:
    members, strangers = map(theirs, peer_ids(2)), map(theirs, peer_ids(40)[2:])
    known = next(members)
    allowances = Allowances(lambda _: None, lambda peer: peer != known, lambda: 0.0)
    granted = sum(allowances.spend(peer, int(BURST)) for peer in strangers)
    assert granted == STRANGERS
    assert allowances.spend(known, int(BURST))
