"""Lanes: one queue and one stream for each kind of traffic to each peer, so that no peer waits for another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from btard.hashing import Payload
from btard.identity import PeerId
from btard.transport.libp2p.control import DaemonError
from btard.transport.libp2p.pipe import Parser, Pipe, StreamLost, StreamViolation
from btard.transport.libp2p.settings import Limits

logger = logging.getLogger(__name__)

_ATTEMPTS = 3

_SHORT = 16 << 10
"""Bytes up to which an item may be written without waiting."""


@dataclass
class Item:
    """Something queued: what is written before the payload, the payload, and until when it is worth sending."""

    head: bytes
    payload: Payload
    expires_at: float
    attempts: int = 0

    @property
    def size(self) -> int:
        return len(self.head) + len(self.payload)


def expect_nothing(pipe: Pipe) -> Parser:
    """Parse a stream on which the other side must stay silent; its closing is noticed meanwhile."""
    yield memoryview(bytearray(1))
    raise StreamViolation("the other side answered on a one-way stream")


class Lane:
    """A bounded queue to one peer and the task that empties it over one stream."""

    def __init__(
        self,
        peer: PeerId,
        open_stream: Callable[[PeerId], Awaitable[Pipe]],
        limits: Limits,
        *,
        most_items: int,
        most_bytes: int | None,
        on_sent: Callable[[Item], None],
        on_dropped: Callable[[Item], None],
    ) -> None:
        self._peer = peer
        self._open_stream = open_stream
        self._limits = limits
        self._most_items = most_items
        self._most_bytes = most_bytes
        self._on_sent = on_sent
        self._on_dropped = on_dropped
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._pipe: Pipe | None = None
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._used = True
        self._quiet_since = 0.0

    def put(self, item: Item) -> None:
        """Queue an item, or drop it when the peer has not taken what is already queued."""
        if self._write_now(item):
            return
        full = len(self._items) >= self._most_items
        if full or (self._most_bytes is not None and self._bytes + item.size > self._most_bytes):
            self._on_dropped(item)
            return
        self._items.append(item)
        self._bytes += item.size
        self._filled.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def _write_now(self, item: Item) -> bool:
        """Write a short item to an open stream that has nothing else to do: waking the task would cost as much again.

        What is longer than the stream takes at once goes through the queue, where a stalled reader is noticed.
        """
        pipe = self._pipe
        if pipe is None or self._items or item.size > _SHORT or not pipe.ready:
            return False
        if not pipe.write_now(item.head) or (item.payload and not pipe.write_now(item.payload)):
            return False  # it broke under the head: the whole goes over another stream
        self._used = True
        self._on_sent(item)
        return True

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be sent, nor to be read by p2pd."""
        return not self._items and (self._pipe is None or self._pipe.lost or not self._pipe.unread)

    def clear(self) -> None:
        """Drop everything, also what is half sent (the other side sees a broken stream)."""
        had_items = bool(self._items)
        while self._items:
            self._on_dropped(self._pop())
        if self._pipe is not None and (had_items or self._pipe.unwritten):
            self._pipe.abort()

    async def close(self) -> None:
        """Drop everything and close the stream."""
        self.clear()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._pipe is not None:
            self._pipe.abort()

    def _pop(self) -> Item:
        item = self._items.popleft()
        self._bytes -= item.size
        return item

    async def _run(self) -> None:
        try:
            while await self._has_items():
                await self._send_first()
        finally:
            if self._pipe is not None:
                self._pipe.close()
                self._pipe = None

    async def _has_items(self) -> bool:
        """Wait for an item; False once the sweep has found the lane idle."""
        if not self._items:
            self._filled.clear()
            self._used = True
            await self._filled.wait()
        return bool(self._items)

    def sweep(self, now: float) -> None:
        """Let the stream be closed when nothing was sent for the idle time, as far as sweeps can tell.

        Args:
            now: event-loop time in seconds.
        """
        if self._used or self._items:
            self._used, self._quiet_since = False, now
        elif now - self._quiet_since > self._limits.idle_timeout:
            self._filled.set()

    async def _send_first(self) -> None:
        item = self._items[0]
        now = asyncio.get_running_loop().time()
        if now > item.expires_at or item.attempts >= _ATTEMPTS:
            self._on_dropped(self._pop())
            return
        try:
            if self._pipe is None or self._pipe.lost:
                self._pipe = await self._open_stream(self._peer)
            if self._is_first(item):
                item.attempts += 1
                await self._pipe.write(item.head, self._limits.stall_timeout)
                await self._pipe.write(item.payload, self._limits.stall_timeout)
                self._failures = 0
                if self._is_first(item):
                    self._on_sent(self._pop())
        except (StreamLost, DaemonError) as error:
            logger.debug("sending to %s: %s", self._peer.short, error)
            await self._back_off()

    def _is_first(self, item: Item) -> bool:
        # `clear` may have emptied the queue during an await.
        return bool(self._items) and self._items[0] is item

    async def _back_off(self) -> None:
        pause = min(self._limits.backoff_most, self._limits.backoff * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        # Jitter only keeps peers from dialling in step; nothing of the protocol depends on it.
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
