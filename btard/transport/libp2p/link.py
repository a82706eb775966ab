"""A peer's way out made slower: what it sends waits here for as long as its bytes would take on the link.

Control messages go first, and parts go in pieces between them, as on a real link that streams share. The streams of
p2pd keep their order and lose nothing, so what is to be lost never gets there, and jitter overtakes nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from btard.identity import PeerId
from btard.transport.shaping import Shaper

_PIECE = 16 << 10
"""Bytes of a part for which a control message waits at most."""

_AHEAD_SECONDS = 0.002
"""For how long the link is taken in advance: timers are no finer than a millisecond."""


@dataclass(eq=False)
class _Waiting:
    """Something on its way: what hands it over, or drops it, and how many of its bytes are still to leave."""

    peer: PeerId
    left: int
    bulk: bool
    put: Callable[[], None]
    drop: Callable[[], None]
    timer: asyncio.TimerHandle | None = field(default=None)


class LinkQueue:
    """Everything that a peer sends, on its one shaped link. Use from one event loop."""

    def __init__(self, shaper: Shaper, *, most_items: int) -> None:
        """Begin with nothing on the link; of messages, and of parts, `most_items` may wait, and more are dropped."""
        self._shaper = shaper
        self._most_items = most_items
        self._control: deque[_Waiting] = deque()
        self._bulk: deque[_Waiting] = deque()
        self._travelling: set[_Waiting] = set()
        self._latest: dict[tuple[PeerId, bool], float] = {}
        self._pump: asyncio.TimerHandle | None = None

    @property
    def messages_wait(self) -> bool:
        """Whether a control message has not arrived yet."""
        return bool(self._control) or any(not item.bulk for item in self._travelling)

    def send(self, peer: PeerId, size: int, *, bulk: bool, put: Callable[[], None], drop: Callable[[], None]) -> None:
        """Queue something of `size` bytes: `put` is called when it arrives, or `drop` if it never does."""
        queue = self._bulk if bulk else self._control
        if len(queue) >= self._most_items:
            drop()
            return
        queue.append(_Waiting(peer, size, bulk, put, drop))
        if self._pump is None:
            self._advance()

    def clear(self, *, bulk_only: bool = False, peer: PeerId | None = None) -> None:
        """Drop what waits or travels: all of it, only parts, or only what goes to one peer."""
        for item in [*self._control, *self._bulk, *self._travelling]:
            if (bulk_only and not item.bulk) or peer not in (None, item.peer):
                continue
            for queue in (self._control, self._bulk):
                if item in queue:
                    queue.remove(item)
            self._travelling.discard(item)
            if item.timer is not None:
                item.timer.cancel()
            item.drop()
        if peer is not None:
            for bulk in (False, True):
                self._latest.pop((peer, bulk), None)

    def _advance(self) -> None:
        """Put pieces on the link until it is taken for a while, and come back then."""
        self._pump = None
        loop = asyncio.get_running_loop()
        while queue := self._control or self._bulk:
            item = queue[0]
            piece = min(item.left, _PIECE) if item.bulk else item.left
            item.left -= piece
            free_at = self._shaper.occupy(loop.time(), piece)
            if item.left <= 0:
                queue.popleft()
                self._travel(item)
            if free_at > loop.time() + _AHEAD_SECONDS:
                self._pump = loop.call_at(free_at - _AHEAD_SECONDS, self._advance)
                return

    def _travel(self, item: _Waiting) -> None:
        at = self._shaper.arrival()
        if at is None:
            item.drop()
            return
        key = (item.peer, item.bulk)
        # Timers of one time may go off in any order.
        self._latest[key] = at = max(at, math.nextafter(self._latest.get(key, 0.0), math.inf))
        self._travelling.add(item)
        item.timer = asyncio.get_running_loop().call_at(at, self._arrive, item)

    def _arrive(self, item: _Waiting) -> None:
        self._travelling.discard(item)
        item.put()
