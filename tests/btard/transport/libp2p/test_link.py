"""The queue of a shaped link, by an event loop whose clock only timers move."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from btard.identity import PeerId
from btard.transport.libp2p.link import LinkQueue
from btard.transport.shaping import LinkConditions, Shaper

ONE, OTHER = (PeerId.from_public_key(bytes([number] * 32)) for number in (1, 2))


class Clock:
    """What of an event loop a link uses: time and timers."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._cancelled: set[int] = set()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[..., None], *arguments: Any) -> Any:
        number = next(self._order)
        heapq.heappush(self._timers, (when, number, partial(call, *arguments)))
        clock = self

        class Timer:
            def cancel(self) -> None:
                clock._cancelled.add(number)

        return Timer()

    def run(self, until: float = float("inf")) -> None:
        while self._timers and self._timers[0][0] <= until:
            when, number, call = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            if number not in self._cancelled:
                call()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made  # type: ignore[return-value]


class Sent:
    """What a link has let through or dropped, and when."""

    def __init__(self, clock: Clock, link: LinkConditions, most_items: int = 100) -> None:
        self._clock = clock
        self.queue = LinkQueue(Shaper(link, b""), most_items=most_items)
        self.arrived: list[tuple[str, float]] = []
        self.dropped: list[str] = []

    def send(self, name: str, size: int, *, bulk: bool = False, peer: PeerId = ONE) -> None:
        self.queue.send(
            peer,
            size,
            bulk=bulk,
            put=lambda: self.arrived.append((name, round(self._clock.now, 9))),
            drop=lambda: self.dropped.append(name),
        )


def test_messages_arrive_when_their_bytes_have_left(clock: Clock) -> None:
    sent = Sent(clock, LinkConditions(1000.0, 0.5))
    sent.send("a", 1000)
    sent.send("b", 500, peer=OTHER)
    clock.run()
    assert sent.arrived == [("a", 1.5), ("b", 2.0)]
    sent.send("c", 1000)
    clock.run()
    assert sent.arrived[-1] == ("c", 3.5)


def test_short_messages_do_not_wait_for_timers(clock: Clock) -> None:
    sent = Sent(clock, LinkConditions(1e6))
    for _ in range(100):
        sent.send("short", 10)
    clock.run()
    assert len(sent.arrived) == 100 and sent.arrived[-1][1] == pytest.approx(0.001)


def test_messages_overtake_parts(clock: Clock) -> None:
    sent = Sent(clock, LinkConditions(16384.0))
    sent.send("part", 10 * 16384, bulk=True)
    clock.run(until=2.5)
    sent.send("message", 16384)
    clock.run()
    assert sent.arrived == [("message", 4.0), ("part", 11.0)]


def test_jitter_does_not_change_the_order(clock: Clock) -> None:
    sent = Sent(clock, LinkConditions(1e6, 0.1, 0.1))
    for number in range(50):
        sent.send(str(number), 10)
    clock.run()
    assert [name for name, _ in sent.arrived] == [str(number) for number in range(50)]


def test_losses_and_what_finds_no_room_are_counted(clock: Clock) -> None:
    sent = Sent(clock, LinkConditions(1e6, loss=0.5), most_items=20)
    for number in range(40):
        sent.send(str(number), 10**6)
    clock.run()
    # The first one is on the link already.
    assert len([name for name in sent.dropped if int(name) >= 21]) == 19
    assert len(sent.arrived) + len(sent.dropped) == 40 and 0 < len(sent.arrived) < 21


def test_parts_that_are_abandoned_never_arrive(clock: Clock) -> None:
    sent = Sent(clock, LinkConditions(1000.0, 1.0))
    sent.send("travels", 1000, bulk=True)
    sent.send("message", 1000)
    sent.send("waits", 1000, bulk=True)
    clock.run(until=1.9)
    assert sent.queue.messages_wait
    sent.queue.clear(bulk_only=True)
    clock.run()
    assert [name for name, _ in sent.arrived] == ["message"] and sorted(sent.dropped) == ["travels", "waits"]
    assert not sent.queue.messages_wait


def test_only_what_goes_to_a_peer_that_left_is_dropped(clock: Clock) -> None:
    sent = Sent(clock, LinkConditions(1000.0))
    sent.send("here", 1000)
    sent.send("gone", 1000, peer=OTHER)
    sent.send("here too", 1000, bulk=True)
    sent.queue.clear(peer=OTHER)
    clock.run()
    assert [name for name, _ in sent.arrived] == ["here", "here too"] and sent.dropped == ["gone"]
