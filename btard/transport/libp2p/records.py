"""Signed records in the DHT: one small envelope a kind of each author, which readers look up by its author.

The DHT only helps to find things. Nodes near a key can withhold a record or serve an old one, so a reader asks the
author itself as well, and never goes back behind what it has seen. What the author says in it is its own word.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable

from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.routing import DHTID
from hivemind.p2p import PeerID

from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.transport.libp2p.dht import REPLICAS, RecordNode, own_id
from btard.transport.libp2p.record_rules import (
    MAX_RECORD,
    MAX_TTL_SECONDS,
    RECORD_KINDS,
    Known,
    RecordRules,
    expiry_of,
    record_key,
)

logger = logging.getLogger(__name__)

_TRIES = 2
_ASKED_AT_ONCE = 32


class RecordError(Exception):
    """A record could not be published: no record, too large, too long-lived, or no other node kept it in time."""


class Records:
    """Publishes and reads signed records through an in-process DHT node."""

    def __init__(
        self, dht: RecordNode, key: IdentityKey, rules: RecordRules, anchors: frozenset[PeerId] = frozenset()
    ) -> None:
        """`anchors`: the initial peers, through which this node knows the others: they stay nodes for it."""
        self._dht = dht
        self._anchors = anchors
        self._protocol = dht.protocol
        self._key = key
        self._rules = rules
        self._last: dict[DHTID, tuple[int, float]] = {}
        self._publishing: defaultdict[DHTID, asyncio.Lock] = defaultdict(asyncio.Lock)

    def know(self, known: Known | None) -> None:
        """Store for these authors alone from now on, beside the own records, and count only them among the DHT's nodes.

        What is kept of others is forgotten. None: everybody, for tests and for the time before anybody is known.
        """
        storage, table, anchors = self._protocol.storage, self._protocol.routing_table, self._anchors
        storage.known = known
        table.known = None if known is None else lambda peer: peer in anchors or known(peer)
        storage.forget_unknown()
        table.forget_unknown()

    def seek(self, peers: Iterable[PeerId]) -> None:
        """Ask these peers at the next search whether they are nodes, if this node does not know them: they answer over
        streams, but none of the nodes that this one began with may be left."""
        table = self._protocol.routing_table
        for peer in peers:
            if (node := PeerID(bytes(peer))) not in table:
                self._protocol.lost.setdefault(node)

    @property
    def met(self) -> list[PeerId]:
        """The peers that are nodes of the DHT as far as this one knows, ascending."""
        peers = map(own_id, self._protocol.routing_table.peer_id_to_uid)
        return sorted(peer for peer in peers if peer is not None)

    async def publish(self, envelope: Envelope, ttl_seconds: float, *, timeout_seconds: float = 10.0) -> None:
        """Tell the others what this peer has signed, in place of its former record of this run and kind.

        The record is signed again under the next number, whatever the envelope's step is. It counts as published when
        it could be read back from another node; while this node knows no other that answers, when it keeps it itself,
        from where the first that comes gets it.

        Args:
            envelope: of this peer and of a kind in RECORD_KINDS, at most MAX_RECORD bytes encoded.
            ttl_seconds: time after which nodes may forget it (they do `CLOCK_SLACK_SECONDS` later), at most
                MAX_TTL_SECONDS.
            timeout_seconds: seconds that this call may take.

        Raises:
            RecordError: it is no such record, or no other node keeps it.
        """
        if envelope.author != self._key.peer_id or envelope.kind not in RECORD_KINDS:
            raise RecordError("a peer publishes records of its own, of the kinds that are records")
        if (size := len(envelope.encode()) + 8) > MAX_RECORD:
            raise RecordError(f"a record has {size} bytes where at most {MAX_RECORD} are allowed")
        if not 0 < ttl_seconds <= MAX_TTL_SECONDS:
            raise RecordError(f"a record lives between 0 and {MAX_TTL_SECONDS:g} s, not {ttl_seconds:g} s")
        key = record_key(envelope.run, envelope.kind, envelope.author)
        try:
            async with asyncio.timeout(timeout_seconds), self._publishing[key]:
                for _ in range(_TRIES):
                    # The search shows the newest that the others hold, too: memory may be lost, or a clock set back.
                    nodes = await self._nodes_near(key)
                    if await self._place(key, self._numbered(key, envelope, ttl_seconds), nodes):
                        return
        except TimeoutError:
            raise RecordError(
                f"no other node has shown that it keeps the record within {timeout_seconds:g} s"
            ) from None
        raise RecordError(
            "no other node keeps the record: they do not know this peer (yet), or this machine's clock is wrong"
        )

    async def read(
        self, run: bytes, kind: MessageKind, authors: Iterable[PeerId], *, timeout_seconds: float = 10.0
    ) -> dict[PeerId, Envelope]:
        """Return the newest record of each author: of what is found now, and of what was seen before.

        Args:
            run, kind: of the records.
            authors: of the records; an author without a known one is left out of the answer.
            timeout_seconds: seconds that this call may take; what was found by then is returned.
        """
        keys = {author: record_key(run, kind, author) for author in authors}
        others = {author: key for author, key in keys.items() if author != self._key.peer_id}
        try:
            async with asyncio.timeout(timeout_seconds):
                silent = await self._ask_authors(others)
                await self._search(silent)
        except TimeoutError:
            logger.warning("reading %s records from the DHT took longer than %g s", kind.name, timeout_seconds)
        found = {author: self._newest(key) for author, key in keys.items()}
        return {author: envelope for author, envelope in found.items() if envelope is not None}

    def _newest(self, key: DHTID) -> Envelope | None:
        stored, seen = self._protocol.storage.envelope(key), self._protocol.newest.get(key)
        return max((one for one in (stored, seen) if one is not None), key=lambda one: one.step, default=None)

    async def _ask_authors(self, keys: dict[PeerId, DHTID]) -> list[DHTID]:
        """Ask each author for its own record; returns the keys of those that did not show theirs."""
        gate = asyncio.Semaphore(_ASKED_AT_ONCE)

        async def ask(author: PeerId, key: DHTID) -> bool:
            peer = PeerID(bytes(author))
            if peer not in self._protocol.routing_table:
                return False
            async with gate:
                # Private, but it minds which peers did not answer lately.
                answer = await self._dht._call_find_with_blacklist(peer, [key])
            return bool(answer) and answer[key][0] is not None

        shown = await asyncio.gather(*(ask(author, key) for author, key in keys.items()))
        return [key for key, was_shown in zip(keys.values(), shown, strict=True) if not was_shown]

    async def _search(self, keys: list[DHTID]) -> dict[DHTID, dict[DHTID, PeerID]]:
        """Ask the nodes near these keys, which fills `newest`; returns those nodes."""
        if not keys:
            return {}
        await self._dht.seek_lost()
        return await self._dht.nearest(keys)

    async def _nodes_near(self, key: DHTID) -> list[PeerID]:
        found = await self._search([key])
        return [peer for peer in found.get(key, {}).values() if peer not in self._dht.blacklist]

    def _numbered(self, key: DHTID, envelope: Envelope, ttl_seconds: float) -> Envelope:
        """Sign a record under its next number, which grows with the time since the last one whatever the clock says."""
        number = int((self._rules.clock() + ttl_seconds) * 1000)
        if key in self._last:
            last, at = self._last[key]
            number = max(number, last + 1 + int((time.monotonic() - at) * 1000))
        held = self._newest(key)
        if held is not None:
            number = max(number, held.step + 1)
        return Envelope.sign(self._key, run=envelope.run, step=number, kind=envelope.kind, body=envelope.body)

    async def _place(self, key: DHTID, record: Envelope, nodes: list[PeerID]) -> bool:
        """Store a record here and at the nearest nodes; whether it could be read back from one of them."""
        value = DHTProtocol.serializer.dumps(record.encode())
        expiration = expiry_of(record.step)
        self._protocol.storage.keep_own(key, record, value)
        self._last[key] = record.step, time.monotonic()
        keepers, shown = 0, False
        for start in range(0, len(nodes), REPLICAS):
            batch = nodes[start : start + REPLICAS]
            answers = await asyncio.gather(*(self._protocol.call_store(p, [key], [value], expiration) for p in batch))
            keeping = [peer for peer, answer in zip(batch, answers, strict=True) if answer and answer[0]]
            keepers += len(keeping)
            shown = shown or await self._is_shown(key, value, keeping)
            if shown and keepers >= REPLICAS:
                break
        return shown or not nodes

    async def _is_shown(self, key: DHTID, value: bytes, keepers: list[PeerID]) -> bool:
        """Whether one of those that say that they keep a record shows it."""
        for peer in keepers:
            answer = await self._protocol.call_find(peer, [key])
            found = answer[key][0] if answer is not None else None
            if found is not None and found.value == value:
                return True
        return False
