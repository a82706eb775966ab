"""What each peer may ask of this node's DHT a second; a peer that asks far more is not listened to any more."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from hivemind.p2p import PeerID

RATE = 250.0
"""Keys a second that one peer may ask for or store; a request costs up to four tenths of a millisecond."""

BURST = 2000.0
"""Keys that it may ask for at once after a pause."""

STRANGERS = 4
"""All strangers together may ask for as much as so many peers."""

_MOST_PEERS = 4096


class Allowances:
    """A bucket a peer that fills with time, and one for all strangers.

    Args:
        on_flood: called with a peer that goes on long after its bucket is empty.
        is_stranger: whether a peer is none of those that this node stores for.
        clock: seconds, of any origin.
    """

    def __init__(
        self,
        on_flood: Callable[[PeerID], None],
        is_stranger: Callable[[PeerID], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_flood = on_flood
        self._is_stranger = is_stranger
        self._clock = clock
        self._buckets: OrderedDict[PeerID, tuple[float, float]] = OrderedDict()
        self._strangers = BURST * STRANGERS, clock()

    def spend(self, peer: PeerID, keys: int) -> bool:
        """Whether a request for so many keys is within the peer's means; a request costs one key at least."""
        left = self.left(peer) - max(1, keys)
        self._keep(peer, max(left, -2 * BURST))
        if left < -BURST:
            self._on_flood(peer)
        if left < 0 or not self._is_stranger(peer):
            return left >= 0
        tokens, since = self._strangers
        together = min(BURST * STRANGERS, tokens + RATE * STRANGERS * (self._clock() - since)) - max(1, keys)
        self._strangers = max(together, 0.0), self._clock()
        return together >= 0

    def empty(self, peer: PeerID) -> None:
        """Leave a peer nothing for now."""
        self._keep(peer, min(self.left(peer), 0.0))

    def left(self, peer: PeerID) -> float:
        """Return how many keys a peer may ask for now; below zero when it asked for too many."""
        if peer not in self._buckets:
            return BURST
        tokens, since = self._buckets[peer]
        return min(BURST, tokens + RATE * (self._clock() - since))

    def _keep(self, peer: PeerID, tokens: float) -> None:
        self._buckets[peer] = tokens, self._clock()
        self._buckets.move_to_end(peer)
        while len(self._buckets) > _MOST_PEERS:
            self._buckets.popitem(last=False)
