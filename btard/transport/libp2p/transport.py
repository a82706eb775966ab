"""The libp2p transport: control messages, parts and fetches over raw streams through p2pd.

Two streams for each ordered pair of peers, opened on demand: control messages never wait behind parts. The sender
of a message is the peer that p2pd authenticated on the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from hivemind.utils.multiaddr import Multiaddr

from btard.hashing import Payload
from btard.identity import PeerId
from btard.identity.envelope import MAX_ENVELOPE, MAX_HEADER
from btard.transport.base import Inbox, PeerAddress
from btard.transport.libp2p.control import DaemonError
from btard.transport.libp2p.daemon import Daemon
from btard.transport.libp2p.fetch import FetchServer, IsLarge, Serve, Unreachable, fetch
from btard.transport.libp2p.incoming import (
    BULK_PROTOCOL,
    CONTROL_PROTOCOL,
    FETCH_PROTOCOL,
    MESSAGE_PREFIX,
    PART_PREFIX,
    IncomingStreams,
)
from btard.transport.libp2p.link import LinkQueue
from btard.transport.libp2p.outgoing import Item, Lane, expect_nothing
from btard.transport.libp2p.pipe import Pipe
from btard.transport.libp2p.relaying import HOP_PROTOCOL, RelayServer
from btard.transport.libp2p.relays import Relays
from btard.transport.libp2p.settings import Counters, Limits
from btard.transport.shaping import Shaper

logger = logging.getLogger(__name__)

_SWEEP_PERIOD_SECONDS = 1.0
_FLUSH_POLL = 0.01
_WEIGHT = 100
"""Of a member's connections; p2pd itself gives its DHT's neighbours 5."""


class Libp2pTransport:
    """Implements `btard.transport.base.Transport` on a running p2pd. Use from its event loop only."""

    def __init__(self, daemon: Daemon, *, serve: Serve | None = None, limits: Limits | None = None) -> None:
        self._daemon = daemon
        self._limits = limits or Limits()
        self.counters = Counters()
        self._incoming = IncomingStreams(self._limits, self.counters, self._drop)
        self._server = FetchServer(self._limits, self.counters, self._incoming.gates)
        self._server.serve = serve
        self._incoming.add_protocol(FETCH_PROTOCOL, self._server.parse)
        self._control: dict[PeerId, Lane] = {}
        self._bulk: dict[PeerId, Lane] = {}
        self._addresses: dict[PeerId, tuple[str, ...]] = {}
        self._relays = Relays(daemon.control, daemon.peer_id, self._incoming.gates.stranger)
        self._relaying = RelayServer(daemon.control, self._incoming.gates, self._limits)
        self._incoming.add_protocol(HOP_PROTOCOL, self._relaying.parse)
        self._listener: asyncio.AbstractServer | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._dropping: dict[PeerId, asyncio.Task[None]] = {}
        self._link: LinkQueue | None = None
        self._closed = False

    @property
    def peer_id(self) -> PeerId:
        """The own peer id."""
        return self._daemon.peer_id

    @property
    def serving(self) -> int:
        """Fetches that are being answered right now."""
        return self._server.running

    def attach(self, inbox: Inbox | None) -> None:
        """Deliver to `inbox` from now on; with None (as before the first call) everything is dropped."""
        self._incoming.inbox = inbox

    def serve_with(self, serve: Serve | None, is_large: IsLarge | None = None) -> None:
        """Let `serve` answer fetches from now on; with None they are refused.

        Args:
            serve: answers a question.
            is_large: which questions need a slot before they are worked on; None decides by the answers alone.
        """
        self._server.serve, self._server.is_large = serve, is_large

    @property
    def is_member(self) -> Callable[[PeerId], bool] | None:
        """Says which peers have slots and budgets of their own; all others share the strangers'. None is all of them.

        It is asked for every stream, and about once a second for those that are open.
        """
        return self._incoming.gates.is_member

    @is_member.setter
    def is_member(self, known: Callable[[PeerId], bool] | None) -> None:
        self._incoming.gates.is_member = known

    def charge(self, peer: PeerId, seconds: float) -> None:
        """Let a peer's budget pay for processor time that its messages have cost later than when they were read."""
        self._incoming.gates.of(peer, asks=False).spend(seconds)

    def shape(self, shaper: Shaper) -> None:
        """Send messages and parts as slowly as a link would from now on; what is fetched and served is as before."""
        self._link = LinkQueue(shaper, most_items=self._limits.queue_messages)

    def let_wait(self, parts: int, seconds: float) -> None:
        """Let up to so many parts wait for each peer, and all for so long, where the limits allow less."""
        limits = self._limits
        self._limits = replace(
            limits, queue_parts=max(parts, limits.queue_parts), send_ttl=max(seconds, limits.send_ttl)
        )

    async def start(self, timeout_seconds: float = 10.0) -> None:
        """Begin to receive.

        Raises:
            DaemonError: p2pd does not take the handlers within `timeout_seconds`.
        """
        path = self._daemon.directory / "streams.sock"
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_unix_server(self._incoming.make_pipe, path=str(path), backlog=512)
        protocols = [CONTROL_PROTOCOL, BULK_PROTOCOL, FETCH_PROTOCOL, HOP_PROTOCOL]
        await self._daemon.control.register(protocols, path, timeout_seconds)
        self._sweeper = asyncio.create_task(self._sweep())

    async def close(self) -> None:
        """Drop what is queued and close all streams. May be called twice."""
        self._closed = True
        if self._link is not None:
            self._link.clear()
        if self._sweeper is not None:
            await _end(self._sweeper)
        for task in self._dropping.values():
            task.cancel()
        await asyncio.gather(*self._dropping.values(), return_exceptions=True)
        lanes = [*self._control.values(), *self._bulk.values()]
        await asyncio.gather(*(lane.close() for lane in lanes))
        await self._server.close()
        await self._relaying.close()
        self._incoming.close()
        if self._listener is not None:
            self._listener.close()

    def send(self, peer: PeerId, data: bytes) -> None:
        """Queue a control message; order to one peer is kept. Dropped and counted when the peer does not read."""
        if self._closed or len(data) > MAX_ENVELOPE or peer == self.peer_id:
            self._dropped("messages_dropped", None)
            return
        self._put(peer, MESSAGE_PREFIX.pack(len(data)) + data, b"", bulk=False)

    def send_part(self, peer: PeerId, header: bytes, payload: Payload) -> None:
        """Queue a part; the payload is not copied, so it must not change until it is sent or `abandon_parts`."""
        if self._closed or len(header) > MAX_HEADER or peer == self.peer_id:
            self._dropped("parts_dropped", None)
            return
        head = PART_PREFIX.pack(len(header), len(payload)) + header
        self._put(peer, head, payload, bulk=True)

    def _put(self, peer: PeerId, head: bytes, payload: Payload, *, bulk: bool) -> None:
        """Hand something to its lane, now or when the link has let it through."""

        def put() -> None:
            self._lane(peer, bulk=bulk).put(self._item(head, payload))

        if self._link is None:
            put()
        else:
            counter = "parts_dropped" if bulk else "messages_dropped"
            drop = partial(self._dropped, counter, None)
            self._link.send(peer, len(head) + len(payload), bulk=bulk, put=put, drop=drop)

    def abandon_parts(self) -> None:
        """Forget every part that has not left yet: afterwards their buffers may be changed."""
        if self._link is not None:
            self._link.clear(bulk_only=True)
        for lane in self._bulk.values():
            lane.clear()

    async def flush(self, timeout_seconds: float) -> None:
        """Wait until p2pd has read the control messages queued so far, or `timeout_seconds`."""
        lanes, link = self._control, self._link
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while (link is not None and link.messages_wait) or not all(lane.empty for lane in lanes.values()):  # noqa: ASYNC110 - rare, and an event for it in each lane
                    await asyncio.sleep(_FLUSH_POLL)

    async def connect(self, address: PeerAddress) -> None:
        """Tell p2pd where a peer is, and dial it.

        Raises:
            DaemonError: no address answers within the opening time, or one of them is no multiaddress.
        """
        self.remember(address)
        await self._daemon.control.connect(address.peer_id, self._addresses[address.peer_id], self._limits.open_timeout)

    def remember(self, address: PeerAddress) -> None:
        """Keep the multiaddresses of a peer for dialling it when needed; raises DaemonError for malformed ones."""
        try:
            own = f"/p2p/{address.peer_id}"
            maddrs = tuple(str(Multiaddr(text)).removesuffix(own) for text in address.maddrs)
        except (ValueError, TypeError) as error:
            raise DaemonError(f"no multiaddress: {error}") from None
        self._addresses[address.peer_id] = maddrs

    async def disconnect(self, peer: PeerId) -> None:
        """Drop what is queued for a peer, and close every stream from and to it."""
        self._addresses.pop(peer, None)
        if self._link is not None:
            self._link.clear(peer=peer)
        lanes = [lanes.pop(peer) for lanes in (self._control, self._bulk) if peer in lanes]
        await asyncio.gather(*(lane.close() for lane in lanes))
        self._incoming.drop_peer(peer)

    async def connected(self) -> set[PeerId] | None:
        """Return the peers to which a connection stands, or None when p2pd does not say."""
        try:
            return await self._daemon.control.connected(self._limits.open_timeout)
        except DaemonError:
            return None

    async def fetch(self, peer: PeerId, request: bytes, *, limit: int, timeout_seconds: float) -> bytes:
        """Return the answer of `peer` to `request`, at most `limit` bytes, within `timeout_seconds`.

        Raises:
            FetchError: unreachable, refused, busy, too large, broken, or too slow.
        """
        control, open_timeout = self._daemon.control, self._limits.open_timeout
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        first = self._limits.head_start if peer in self._addresses else open_timeout
        try:
            return await fetch(
                control, peer, request, limit=limit, timeout_seconds=timeout_seconds, open_timeout_seconds=first
            )
        except Unreachable:
            left = deadline - asyncio.get_running_loop().time()
            if peer not in self._addresses or left <= 0:
                raise
        try:
            await self._reach(peer, min(open_timeout, left))
        except DaemonError as error:
            raise Unreachable(str(error)) from None
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        return await fetch(control, peer, request, limit=limit, timeout_seconds=left, open_timeout_seconds=open_timeout)

    def _drop(self, peer: PeerId) -> None:
        """Have p2pd close its connections to a peer that opens streams faster than we can close them."""

        async def drop() -> None:
            with contextlib.suppress(DaemonError):
                await self._daemon.control.disconnect(peer, self._limits.open_timeout)
            del self._dropping[peer]

        if peer not in self._dropping:
            self.counters.disconnections += 1
            logger.info("disconnecting %s: it opens too many streams", peer.short)
            self._dropping[peer] = asyncio.create_task(drop())

    def _item(self, head: bytes, payload: Payload) -> Item:
        return Item(head, payload, asyncio.get_running_loop().time() + self._limits.send_ttl)

    def _lane(self, peer: PeerId, *, bulk: bool) -> Lane:
        lanes = self._bulk if bulk else self._control
        lane = lanes.get(peer)
        if lane is None:
            limits, kind = self._limits, "parts" if bulk else "messages"
            lane = lanes[peer] = Lane(
                peer,
                partial(self._open, BULK_PROTOCOL if bulk else CONTROL_PROTOCOL),
                limits,
                most_items=limits.queue_parts if bulk else limits.queue_messages,
                most_bytes=None if bulk else limits.queue_bytes,
                on_sent=self._part_sent if bulk else self._message_sent,
                on_dropped=partial(self._dropped, f"{kind}_dropped"),
            )
        return lane

    def _message_sent(self, item: Item) -> None:
        self.counters.messages_sent += 1
        self.counters.bytes_sent += item.size

    def _part_sent(self, item: Item) -> None:
        self.counters.parts_sent += 1
        self.counters.bytes_sent += item.size

    def _dropped(self, counter: str, item: Item | None) -> None:
        setattr(self.counters, counter, getattr(self.counters, counter) + 1)

    async def _open(self, protocol: str, peer: PeerId) -> Pipe:
        pipe = await self._opened(protocol, peer)
        if not self._incoming.gates.stranger(peer):
            # p2pd forgets this with the connection; floods of connections must not cost members theirs.
            with contextlib.suppress(DaemonError):
                await self._daemon.control.protect(peer, _WEIGHT, self._limits.open_timeout)
        return pipe

    async def _opened(self, protocol: str, peer: PeerId) -> Pipe:
        control, timeout = self._daemon.control, self._limits.open_timeout
        opening = asyncio.ensure_future(control.open_stream(peer, protocol, expect_nothing, timeout))
        try:
            await asyncio.wait({opening}, timeout=self._limits.head_start)
            if opening.done() and opening.exception() is None:
                return self._noted(peer, opening.result())
            if opening.done() and peer not in self._addresses:
                opening.result()
        finally:
            await _end(opening)
        await self._reach(peer, timeout)
        return self._noted(peer, await control.open_stream(peer, protocol, expect_nothing, timeout))

    def _noted(self, peer: PeerId, pipe: Pipe) -> Pipe:
        self._relays.note(peer, pipe.relay)
        return pipe

    async def _reach(self, peer: PeerId, timeout_seconds: float) -> None:
        """Connect to a peer: directly where that can be done, else over a third peer.

        What is sent to an address behind a NAT is mostly lost without an answer; so the direct way only has a head
        start.

        Raises:
            DaemonError: it can be reached in neither way.
        """
        maddrs = self._addresses.get(peer, ())
        ways = [asyncio.ensure_future(self._daemon.control.connect(peer, maddrs, timeout_seconds))]
        try:
            await asyncio.wait(ways, timeout=self._limits.head_start)
            if not ways[0].done() or ways[0].exception() is not None:
                ways.append(asyncio.ensure_future(self._relays.connect(peer, timeout_seconds)))
                waiting = set(ways)
                while waiting and all(not way.done() or way.exception() is not None for way in ways):
                    _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if all(not way.done() or way.exception() is not None for way in ways):
                raise DaemonError("; ".join(str(way.exception()) for way in ways if way.done()))
        finally:
            await asyncio.gather(*map(_end, ways))

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_SWEEP_PERIOD_SECONDS, self._limits.stall_timeout / 4))
            now = loop.time()
            self._incoming.sweep(now)
            for lane in (*self._control.values(), *self._bulk.values()):
                lane.sweep(now)


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel what is not over, and let nobody hear of how it ended; a stream that nobody wants is closed."""
    if not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    elif not task.cancelled():
        task.exception()
