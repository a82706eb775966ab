"""Decides which streams are read: those of one member, or of all strangers, as long as their cost allows.

Whatever a neighbour sends costs processor time before anybody can know what it is worth. So it is not judged but
measured, and paid from a budget that honest traffic never uses up; a peer that has used up its own is left unread, and
its own buffers fill.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TypeVar

from btard.identity import PeerId
from btard.transport.libp2p.budget import Budget
from btard.transport.libp2p.pipe import Pipe
from btard.transport.libp2p.settings import Counters, Limits

K = TypeVar("K")

_LEAST_PAUSE_SECONDS = 0.1
"""Seconds for which a closed gate stays closed: opening it costs time, too."""

_MOST_PEERS = 4096
"""Peers of which something is remembered; being forgotten gains less than one more connection costs."""


class Gate:
    """The streams that one budget pays for."""

    def __init__(self, limits: Limits, crowd: set[Gate], on_pause: Callable[[], None]) -> None:
        """`crowd`: all gates that are closed, of which this one may become one."""
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._work = Budget(limits.work_share, limits.work_burst_seconds)
        self._bytes = Budget(limits.message_rate, limits.message_rate)
        self._crowd = crowd
        self._on_pause = on_pause
        self._waiting: deque[Pipe] = deque()
        self._timer: asyncio.Handle | None = None
        self.pipes: dict[Pipe, None] = {}

    @property
    def closed(self) -> bool:
        """Whether what its streams bring is left unread."""
        return self._timer is not None

    @property
    def debt(self) -> float:
        """Seconds that have yet to pass before anything is read."""
        return self._wait(self._loop.time())

    def add(self, pipe: Pipe) -> None:
        """Let this budget pay for a stream."""
        self.pipes[pipe] = None
        if self.closed:
            pipe.pause()
            self._waiting.append(pipe)

    def remove(self, pipe: Pipe) -> None:
        """Let this budget pay for a stream no longer; if it waits, it is read again."""
        del self.pipes[pipe]
        if pipe in self._waiting:
            self._waiting.remove(pipe)
        pipe.resume()

    def spend(self, seconds: float, messages: int = 0) -> None:
        """Pay for processor time, and for bytes of messages; close when that was too much."""
        now = self._loop.time()
        share = self._limits.work_share
        crowd = len(self._crowd | {self}) * share / self._limits.crowd_share
        self._work.spend(now, seconds, max(1.0, crowd))
        self._bytes.spend(now, messages)
        if self._wait(now) <= 0:
            return
        for pipe in self.pipes:
            if not pipe.paused:
                pipe.pause()
                self._waiting.append(pipe)
        if not self.closed:
            self._on_pause()
            self._crowd.add(self)
            self._timer = self._loop.call_later(max(_LEAST_PAUSE_SECONDS, self._wait(now)), self._open)

    def _wait(self, now: float) -> float:
        return max(self._work.wait(now), self._bytes.wait(now))

    def _open(self) -> None:
        """Let one stream be read, and the next one only if the budget outlasts that."""
        wait = self._wait(self._loop.time())
        if wait > 0:
            self._timer = self._loop.call_later(max(_LEAST_PAUSE_SECONDS, wait), self._open)
        elif self._waiting:
            self._waiting.popleft().resume()
            self._timer = self._loop.call_soon(self._after_reading)
        else:
            self._timer = None
            self._crowd.discard(self)

    def _after_reading(self) -> None:
        # A whole turn of the loop lies between, in which what waits on the stream is read and paid for.
        self._timer = self._loop.call_soon(self._open)


class Gates:
    """One gate for each member, two for all strangers, and how many streams each peer may open.

    Strangers have reasons to ask, but hardly any to send messages or parts; so what they ask does not wait behind that.
    """

    def __init__(self, limits: Limits, counters: Counters) -> None:
        self._limits = limits
        self._counters = counters
        self._crowd: set[Gate] = set()
        self._strangers: dict[bool, Gate] = {}
        self._members: dict[PeerId, Gate] = {}
        self._openings: OrderedDict[PeerId, Budget] = OrderedDict()
        self.is_member: Callable[[PeerId], bool] | None = None
        """Says which peers have a gate of their own; None is all of them."""

    def of(self, peer: PeerId, *, asks: bool) -> Gate:
        """The gate that a peer's streams, or those on which it asks, have to pass now."""
        if self.stranger(peer):
            return self._found_in(self._strangers, asks)
        return self._found_in(self._members, peer)

    def stranger(self, peer: PeerId) -> bool:
        """Whether a peer is known to be no member."""
        return self.is_member is not None and not self.is_member(peer)

    def opens(self, peer: PeerId) -> bool:
        """Count a stream that a peer has opened; returns whether it may have opened it."""
        budget = self._openings.pop(peer, None) or Budget(self._limits.openings_rate, self._limits.openings_burst)
        self._openings[peer] = budget
        if len(self._openings) > _MOST_PEERS:
            self._openings.popitem(last=False)
        return budget.spend(asyncio.get_running_loop().time(), 1) <= 0

    def forget(self) -> None:
        """Forget the gates of former members without streams; while all are members, of too many."""
        for peer, gate in list(self._members.items()):
            gone = self.stranger(peer) or len(self._members) > _MOST_PEERS
            if gone and not gate.pipes and not gate.closed:
                del self._members[peer]

    def _found_in(self, gates: dict[K, Gate], key: K) -> Gate:
        gate = gates.get(key)
        if gate is None:
            gate = gates[key] = Gate(self._limits, self._crowd, self._paused)
        return gate

    def _paused(self) -> None:
        self._counters.pauses += 1
