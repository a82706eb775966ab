"""A simulated network: a virtual clock, and delays, losses, reordering and partitions drawn from one seed.

Everything happens in one thread in an order that the seed fixes, so a run that fails fails again.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from btard.identity import PeerId
from btard.transport.shaping import LinkConditions, Shaper


class Host(Protocol):
    """What the network knows of a peer in it.

    Attributes:
        crashed: nothing reaches it any more.
        touched: something has happened to it in the event that is going on.
    """

    crashed: bool
    touched: bool

    def watch(self) -> None:
        """Act on what has arrived, or ask for an event at the peer's deadline, as it stands now."""


Arrival = Callable[[Any], None]
"""What happens to a peer when something arrives; it is of the class that the sender is of."""


@dataclass(frozen=True)
class NetworkConditions:
    """What the network does to messages.

    Attributes:
        delay: (least, most) seconds a message travels, drawn uniformly; a wide range reorders.
        loss: probability that a message or a part is lost.
        link: every peer's way out, in place of delay and loss; None where bytes take no time.
    """

    delay: tuple[float, float] = (0.01, 0.01)
    loss: float = 0.0
    link: LinkConditions | None = None


class Network:
    """The virtual clock, its events, and which peers reach each other."""

    def __init__(self, seed: int, conditions: NetworkConditions) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.conditions = conditions
        self.peers: dict[PeerId, Host] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._last: _Deliveries | None = None
        self._planned = 0
        self._touched: list[Host] = []
        self._islands: dict[PeerId, int] = {}
        self._seed = seed
        self._shapers: dict[PeerId, Shaper] = {}

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Let `event` happen at a time of the virtual clock."""
        if self._last is not None and self._last.when == when:
            self._last = None
        heapq.heappush(self._events, (max(when, self.now), self._planned, event))
        self._planned += 1

    def partition(self, *groups: Iterable[PeerId]) -> None:
        """Cut the network into groups that cannot reach each other; peers in no group form one. No group: heal."""
        self._islands = {peer: number for number, group in enumerate(groups, 1) for peer in group}

    def deliver(self, sender: PeerId, receiver: PeerId, arrive: Arrival, wait: float = 0.0, size: int = 0) -> None:
        """Let something of `size` bytes arrive after its delay, unless it is lost or cut off then."""
        self.deliver_all(sender, (receiver,), arrive, wait, size)

    def deliver_all(
        self, sender: PeerId, receivers: Sequence[PeerId], arrive: Arrival, wait: float = 0.0, size: int = 0
    ) -> None:
        """Let the same thing arrive at several peers: one event if chance has no say in it, else one for each."""
        conditions, start = self.conditions, self.now + wait
        if conditions.link is not None:
            if wait > 0:  # the link is free until then
                self.at(start, partial(self.deliver_all, sender, receivers, arrive, size=size))
            else:
                self._over_link(conditions.link, sender, receivers, arrive, size)
            return
        least, most = conditions.delay
        if least == most and not conditions.loss:
            self._deliver_at(start + least, sender, receivers, arrive)
            return
        for receiver in receivers:
            if self.random.random() >= conditions.loss:
                self._deliver_at(start + self.random.uniform(least, most), sender, (receiver,), arrive)

    def _over_link(
        self, link: LinkConditions, sender: PeerId, receivers: Sequence[PeerId], arrive: Arrival, size: int
    ) -> None:
        shaper = self._shapers.get(sender)
        if shaper is None:
            shaper = self._shapers[sender] = Shaper(link, self._seed.to_bytes(8, "big") + bytes(sender))
        for receiver in receivers:
            when = shaper.departure(self.now, size)
            if when is not None:
                self._deliver_at(when, sender, (receiver,), arrive)

    def _deliver_at(self, when: float, sender: PeerId, receivers: Sequence[PeerId], arrive: Arrival) -> None:
        """Add to the last deliveries that were planned if they are at the same time, and nothing else is since."""
        last = self._last
        if last is None or last.when != when:
            last = _Deliveries(self, when)
            self.at(when, last)
            self._last = last
        last.planned.append((sender, receivers, arrive))

    def connects(self, sender: PeerId, receiver: PeerId) -> bool:
        """Whether no partition lies between the two."""
        islands = self._islands
        return not islands or islands.get(sender, 0) == islands.get(receiver, 0)

    def _arrive(self, sender: PeerId, receivers: Sequence[PeerId], arrive: Arrival) -> None:
        # Networks of tests override it, to let one peer exist twice.
        peers, whole = self.peers, not self._islands
        for receiver in receivers:
            peer = peers.get(receiver)
            if peer is not None and not peer.crashed and (whole or self.connects(sender, receiver)):
                arrive(peer)

    def run(self, *, until: float = math.inf, done: Callable[[], bool] = lambda: False) -> None:
        """Let events happen in order until `done`, the time `until`, or until there are none."""
        self._look_after()
        while self._events and not done() and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            if event is self._last:
                self._last = None
            event()
            self._look_after()

    def touch(self, peer: Host) -> None:
        """Something has happened to a peer, so once this event is over its deadline may be another."""
        if not peer.touched:
            peer.touched = True
            self._touched.append(peer)

    def _look_after(self) -> None:
        while self._touched:
            touched, self._touched = self._touched, []
            for peer in touched:
                peer.touched = False
                peer.watch()


class _Deliveries:
    """Things that arrive at one time, in the order in which they were sent."""

    __slots__ = ("_network", "planned", "when")

    def __init__(self, network: Network, when: float) -> None:
        self._network = network
        self.when = when
        self.planned: list[tuple[PeerId, Sequence[PeerId], Arrival]] = []

    def __call__(self) -> None:
        for sender, receivers, arrive in self.planned:
            self._network._arrive(sender, receivers, arrive)
