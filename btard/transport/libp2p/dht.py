"""hivemind's DHT node with bounds: one node id a peer, nothing unpacked or verified that a glance can refuse.

The node id follows from the peer id, so a peer that restarts, or two processes with one key, stay one node, and nobody
chooses a place near a key. Requests are bounded in what one asks for, and each peer in what it may ask a second.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from hivemind.dht import DHTNode
from hivemind.dht.node import Blacklist
from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.routing import DHTID, RoutingTable
from hivemind.p2p import P2P, P2PContext, PeerID
from hivemind.proto import dht_pb2
from hivemind.utils.timed_storage import ValueWithExpiration

from btard.identity import Malformed, PeerId
from btard.transport.libp2p.allowance import Allowances
from btard.transport.libp2p.newest import NewestRecords
from btard.transport.libp2p.record_rules import Known, RecordRules, node_id_of
from btard.transport.libp2p.storage import RecordStorage, Taken

logger = logging.getLogger(__name__)

BUCKET_SIZE = 20
"""Nodes in a bucket of the routing table, in an answer, and in the search for a key."""

MAX_KEYS = 64
"""Keys in one request; a search packs at most the square root of the members, 16 of 256."""

MAX_REPLACEMENTS = 20
"""Nodes that wait for a place in a full bucket."""

REPLICAS = 5
"""Nodes that keep a record, if there are so many."""

_WAIT_TIMEOUT_SECONDS = 3.0
_WORKERS = 8
_CALLS = 256
_DEPTH_MODULO = 5
_BLACKLIST_TIME, _BLACKLIST_RATE = 5.0, 1.0
_MOST_LOST = 256
_SOUGHT_AT_ONCE = 16
_SEEK_PERIOD_SECONDS = 5.0

Found = dict[DHTID, tuple[ValueWithExpiration[bytes] | None, dict[DHTID, PeerID]]]


def own_id(peer: PeerID) -> PeerId | None:
    """Return a peer id of hivemind's as ours; None if it holds no Ed25519 key, which no peer of a swarm has."""
    try:
        return PeerId.of(peer.to_bytes())
    except ValueError:
        return None


class OneIdTable(RoutingTable):
    """A routing table in which every peer has the node id that follows from its peer id, or is not in it."""

    def __init__(self, node_id: DHTID) -> None:
        super().__init__(node_id, BUCKET_SIZE, _DEPTH_MODULO)
        self.known: Known | None = None

    def admits(self, node_id: DHTID, peer_id: PeerID) -> bool:
        """Whether a peer with this node id may be in the table."""
        peer = own_id(peer_id)
        if peer is None or node_id != node_id_of(peer) or node_id == self.node_id:
            return False
        return self.known is None or self.known(peer)

    def add_or_update_node(self, node_id: DHTID, peer_id: PeerID) -> tuple[DHTID, PeerID] | None:
        """Take a node in or note that it lives; see hivemind."""
        if not self.admits(node_id, peer_id):
            return None
        to_ping: tuple[DHTID, PeerID] | None = super().add_or_update_node(node_id, peer_id)
        waiting = self.buckets[self.get_bucket_index(node_id)].replacement_nodes
        while len(waiting) > MAX_REPLACEMENTS:
            oldest = next(iter(waiting))
            del self[oldest]
        return to_ping

    def forget_unknown(self) -> None:
        """Drop the nodes that are not admitted any more."""
        for node_id, peer_id in list(self.uid_to_peer_id.items()):
            if not self.admits(node_id, peer_id):
                del self[node_id]


class RecordProtocol(DHTProtocol):
    """hivemind's requests, answered and read within bounds. Its name is part of what nodes call each other by."""

    _rpc_handlers = None
    _stub_type = None

    def __init__(
        self, p2p: P2P, own: PeerId, rules: RecordRules, on_flood: Callable[[PeerID], None], *, client: bool
    ) -> None:
        super().__init__(_initialized_with_create=True)
        self.p2p, self.node_id = p2p, node_id_of(own)
        self.bucket_size, self.num_replicas, self.wait_timeout = BUCKET_SIZE, REPLICAS, _WAIT_TIMEOUT_SECONDS
        self.rpc_semaphore = asyncio.Semaphore(_CALLS)
        self.record_validator, self.authorizer, self.client_mode = rules, None, client
        self.rules = rules
        self.storage = RecordStorage(own, rules)
        self.cache = self.storage
        self.routing_table = OneIdTable(self.node_id)
        self.newest = NewestRecords(rules)
        # Without a node id the others do not take a client into their tables.
        self.node_info = dht_pb2.NodeInfo(node_id=b"" if client else self.node_id.to_bytes())
        self.allowances = Allowances(on_flood, self._is_stranger)
        self._tasks: set[asyncio.Task[Any]] = set()
        self.lost: dict[PeerID, None] = {}
        """Nodes that did not answer, oldest first."""

    # Answering.

    async def rpc_ping(self, request: dht_pb2.PingRequest, context: P2PContext) -> dht_pb2.PingResponse:
        """Tell the own node id and clock."""
        self._admit(context.remote_id, request.peer, 1)
        return dht_pb2.PingResponse(peer=self.node_info, dht_time=self.rules.clock(), available=False)

    async def rpc_store(self, request: dht_pb2.StoreRequest, context: P2PContext) -> dht_pb2.StoreResponse:
        """Keep the records of a request that may be kept."""
        count = len(request.keys)
        response = dht_pb2.StoreResponse(peer=self.node_info, store_ok=[False] * min(count, MAX_KEYS))
        if not self._admit(context.remote_id, request.peer, count):
            return response
        if not count == len(request.subkeys) == len(request.values) == len(request.expiration_time):
            return response
        records = zip(request.keys, request.subkeys, request.values, request.expiration_time, strict=True)
        for position, (key, subkey, value, expiration) in enumerate(records):
            if len(key) != DHTID.HASH_NBYTES or subkey != self.IS_REGULAR_VALUE:
                break
            taken = self.storage.take(DHTID.from_bytes(key), value, expiration)
            response.store_ok[position] = taken is Taken.STORED
            if taken is Taken.FORGED:
                # Honest nodes check what they pass on. Verifying costs most: no more of it for this peer now.
                self.allowances.empty(context.remote_id)
                break
        return response

    async def rpc_find(self, request: dht_pb2.FindRequest, context: P2PContext) -> dht_pb2.FindResponse:
        """Return the records under some keys, and the nodes nearest to each."""
        keys = request.keys
        response = dht_pb2.FindResponse(results=[], peer=self.node_info)
        if not self._admit(context.remote_id, request.peer, len(keys)):
            return response
        asker = own_id(context.remote_id)
        exclude = node_id_of(asker) if asker is not None else None
        for raw in keys:
            if len(raw) != DHTID.HASH_NBYTES:
                break
            key = DHTID.from_bytes(raw)
            held = self.storage.get(key)
            result = dht_pb2.FindResult(type=dht_pb2.NOT_FOUND)
            if held is not None:
                result = dht_pb2.FindResult(
                    type=dht_pb2.FOUND_REGULAR, value=held.value, expiration_time=held.expiration_time
                )
            for node_id, peer_id in self.routing_table.get_nearest_neighbors(key, k=BUCKET_SIZE, exclude=exclude):
                result.nearest_node_ids.append(node_id.to_bytes())
                result.nearest_peer_ids.append(peer_id.to_bytes())
            response.results.append(result)
        return response

    def _admit(self, peer_id: PeerID, info: dht_pb2.NodeInfo, keys: int) -> bool:
        """Whether a request for so many keys is answered; an asker that is a node is noted as alive."""
        if keys > MAX_KEYS or not self.allowances.spend(peer_id, keys):
            return False
        self._note_alive(info, peer_id)
        return True

    # Asking.

    async def call_ping(self, peer: PeerID, validate: bool = False, strict: bool = True) -> DHTID | None:
        """Return the node id of a peer that answers, unless it is a client or gives itself another than it has."""
        try:
            async with self.rpc_semaphore:
                request = dht_pb2.PingRequest(peer=self.node_info)
                response = await self.get_stub(peer).rpc_ping(request, timeout=self.wait_timeout)
        except Exception:  # hivemind raises what its handlers, p2pd and protobuf raise
            logger.debug("no answer from %s", peer, exc_info=True)
            self._note_dead(peer)
            return None
        return self._note_alive(response.peer, peer)

    async def call_find(self, peer: PeerID, keys: Collection[DHTID]) -> Found | None:
        """Ask a peer for records and nearer nodes; None if it does not answer as it should.

        Every valid record that comes is remembered in `newest`, whatever the search makes of it.
        """
        keys = list(keys)
        try:
            async with self.rpc_semaphore:
                request = dht_pb2.FindRequest(keys=[key.to_bytes() for key in keys], peer=self.node_info)
                response = await self.get_stub(peer).rpc_find(request, timeout=self.wait_timeout)
            if len(response.results) != len(keys):
                raise Malformed("the answer has another number of results than keys were asked")
            found = {key: self._read(key, result) for key, result in zip(keys, response.results, strict=True)}
        except Exception:  # hivemind raises what its handlers, p2pd and protobuf raise
            logger.debug("no answer from %s", peer, exc_info=True)
            self._note_dead(peer)
            return None
        self._note_alive(response.peer, peer)
        return found

    def _read(
        self, key: DHTID, result: dht_pb2.FindResult
    ) -> tuple[ValueWithExpiration[bytes] | None, dict[DHTID, PeerID]]:
        nearest: dict[DHTID, PeerID] = {}
        pairs = zip(result.nearest_node_ids[:BUCKET_SIZE], result.nearest_peer_ids[:BUCKET_SIZE], strict=False)
        for raw_node, raw_peer in pairs:
            node_id, peer_id = _node_id(raw_node), PeerID(raw_peer)
            if node_id is not None and self.routing_table.admits(node_id, peer_id):
                nearest[node_id] = peer_id
        if result.type != dht_pb2.FOUND_REGULAR:
            return None, nearest
        try:
            self.newest.offer(key, result.value, result.expiration_time)
        except Malformed as error:
            logger.debug("ignoring a record: %s", error)
            return None, nearest
        return ValueWithExpiration(result.value, result.expiration_time), nearest

    async def update_routing_table(self, node_id: DHTID | None, peer_id: PeerID, responded: bool = True) -> None:
        """Called by what is left of hivemind's own requests."""
        if not responded:
            self._note_dead(peer_id)
        elif node_id is not None:
            self._note_alive(dht_pb2.NodeInfo(node_id=node_id.to_bytes()), peer_id)

    def _note_alive(self, info: dht_pb2.NodeInfo, peer_id: PeerID) -> DHTID | None:
        node_id, table = _node_id(info.node_id), self.routing_table
        if node_id is None or not table.admits(node_id, peer_id):
            return None
        self.lost.pop(peer_id, None)
        if node_id not in table:
            self._hand_over(node_id, peer_id)
        to_ping = table.add_or_update_node(node_id, peer_id)
        if to_ping is not None:
            self._later(self.call_ping(to_ping[1]))
        return node_id

    def _is_stranger(self, peer_id: PeerID) -> bool:
        known, peer = self.routing_table.known, own_id(peer_id)
        return peer is None or (known is not None and not known(peer))

    def _note_dead(self, peer_id: PeerID) -> None:
        held = self.routing_table.get(peer_id=peer_id)
        if held is not None:
            del self.routing_table[held]
            self.lost[peer_id] = None
            while len(self.lost) > _MOST_LOST:
                self.lost.pop(next(iter(self.lost)))

    def _hand_over(self, node_id: DHTID, peer_id: PeerID) -> None:
        """Send a node that has come the records that it is to keep from now on, those first that it is nearest to."""
        batch: list[tuple[DHTID, ValueWithExpiration[bytes]]] = []
        for key, item in self.storage.items():
            neighbours = self.routing_table.get_nearest_neighbors(key, self.num_replicas, exclude=self.node_id)
            if neighbours:
                nearest, farthest = (neighbours[i][0].xor_distance(key) for i in (0, -1))
                responsible = self.node_id.xor_distance(key) < nearest
                if not responsible or (len(neighbours) >= self.num_replicas and node_id.xor_distance(key) >= farthest):
                    continue
            batch.append((key, item))
        for start in range(0, len(batch), MAX_KEYS):
            part = batch[start : start + MAX_KEYS]
            self._later(
                self.call_store(
                    peer_id,
                    [key for key, _ in part],
                    [item.value for _, item in part],
                    [item.expiration_time for _, item in part],
                )
            )

    def admits(self, peer_id: PeerID) -> bool:
        """Whether a peer may be a node of the DHT for this one."""
        peer = own_id(peer_id)
        return peer is not None and self.routing_table.admits(node_id_of(peer), peer_id)

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a task in memory until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _later(self, work: Coroutine[Any, Any, object]) -> None:
        self.keep(asyncio.create_task(work))


class RecordNode(DHTNode):
    """A DHT node for records. Made by `start`; hivemind's caches, which would keep what is old, are off."""

    protocol: RecordProtocol
    _sought_at = -math.inf

    @classmethod
    async def start(
        cls, p2p: P2P, own: PeerId, rules: RecordRules, on_flood: Callable[[PeerID], None], *, client: bool = False
    ) -> RecordNode:
        """Begin to answer, unless as a client; `protocol.call_ping` makes the first acquaintances.

        Args:
            p2p: hivemind's view of the own p2pd.
            own: this peer.
            rules: of the records.
            on_flood: called with a peer that asks far more than it may.
            client: only ask; the others store nothing with this node and count it as none of theirs.
        """
        self = cls(_initialized_with_create=True)
        self.node_id, self.is_alive = node_id_of(own), True
        self.num_replicas, self.num_workers, self.chunk_size = REPLICAS, _WORKERS, MAX_KEYS
        self.reuse_get_requests, self.refresh_timeout = False, None
        self.cache_locally, self.cache_nearest, self.cache_on_store = False, 0, False
        self.cache_refresh_before_expiry = 0
        self.blacklist = Blacklist(_BLACKLIST_TIME, _BLACKLIST_RATE)
        self.p2p, self._should_shutdown_p2p, self.peer_id = p2p, False, p2p.peer_id
        self.protocol = RecordProtocol(p2p, own, rules, on_flood, client=client)
        if not client:
            await self.protocol.add_p2p_handlers(p2p)
        return self

    async def nearest(self, keys: Collection[DHTID]) -> dict[DHTID, dict[DHTID, PeerID]]:
        """Return the nodes nearest to each key, but for this one; nothing where the search fails."""
        try:
            found: dict[DHTID, dict[DHTID, PeerID]] = await self.find_nearest_nodes(keys, exclude_self=True)
        except Exception as error:  # hivemind asserts that none of its workers has failed, and does not say how one did
            logger.warning("a search in the DHT failed: %r", error)
            return {}
        return found

    async def seek_lost(self) -> None:
        """Ask a few of the nodes that did not answer whether they do again: after an outage nobody else would.

        Waits for answers only while no other node is known, and asks at most every few seconds.
        """
        protocol, now = self.protocol, time.monotonic()
        if not protocol.lost or now - self._sought_at < _SEEK_PERIOD_SECONDS:
            return
        self._sought_at = now
        some = list(protocol.lost)[:_SOUGHT_AT_ONCE]
        for peer in some:
            protocol.lost[peer] = protocol.lost.pop(peer)
        seeking = [asyncio.create_task(self._seek(peer)) for peer in some]
        for task in seeking:
            protocol.keep(task)
        if not protocol.routing_table.uid_to_peer_id:
            await asyncio.wait(seeking)

    async def _seek(self, peer: PeerID) -> None:
        if self.protocol.admits(peer) and await self.protocol.call_ping(peer) is not None:
            self.blacklist.register_success(peer)


def _node_id(raw: bytes) -> DHTID | None:
    return DHTID.from_bytes(raw) if len(raw) == DHTID.HASH_NBYTES else None
