"""Slots for large answers: members have some of their own, strangers a few together, and memory is bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from btard.hashing import Payload
from btard.identity import PeerId
from btard.transport.libp2p.settings import Limits


@dataclass(eq=False)
class Slot:
    """A large answer: its peer, what becomes of it when it is displaced, and its bytes once they are there."""

    peer: PeerId
    displace: Callable[[], None]
    payload: Payload | None = field(default=None, repr=False)


class Slots:
    """The large answers to members, or to strangers.

    Args:
        per_peer: slots of one peer.
        total: slots of all; None where every peer has its own.
        most_bytes: memory of all answers, each counted once however many read it.
    """

    def __init__(self, per_peer: int, total: int | None, most_bytes: int) -> None:
        self._per_peer = per_peer
        self._total = total
        self._most_bytes = most_bytes
        self._taken: dict[Slot, None] = {}
        self._of: Counter[PeerId] = Counter()

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, peer: PeerId, displace: Callable[[], None]) -> Slot | None:
        """Return a slot, or None when the peer has as many as it may, or strangers have all of theirs."""
        if self._of[peer] >= self._per_peer or (self._total is not None and len(self._taken) >= self._total):
            return None
        slot = Slot(peer, displace)
        self._taken[slot] = None
        self._of[peer] += 1
        return slot

    def fill(self, slot: Slot, payload: Payload) -> None:
        """Hold the bytes of an answer; the oldest other ones are displaced until there is room for it.

        What is asked for by many is asked for at one time, so that the oldest are those that nobody else needs.
        """
        slot.payload = payload
        while self.held > self._most_bytes:
            others = (s for s in self._taken if s.payload is not None and _whose(s.payload) != _whose(payload))
            oldest = next(others, None)
            if oldest is None:
                return
            self.free(oldest)
            oldest.displace()

    @property
    def held(self) -> int:
        """Bytes of all answers."""
        payloads = {_whose(slot.payload): len(slot.payload) for slot in self._taken if slot.payload is not None}
        return sum(payloads.values())

    def free(self, slot: Slot) -> None:
        """Give a slot back; a second time changes nothing."""
        if slot not in self._taken:
            return
        del self._taken[slot]
        slot.payload = None
        self._of[slot.peer] -= 1
        if not self._of[slot.peer]:
            del self._of[slot.peer]


def _whose(payload: Payload) -> int:
    """Return what tells the memory of answers apart."""
    return id(payload.obj if isinstance(payload, memoryview) else payload)


def slots_of(limits: Limits) -> tuple[Slots, Slots]:
    """Return the slots of members and those of strangers."""
    members = Slots(limits.serves_per_peer, None, limits.answers_bytes)
    return members, Slots(1, limits.serves_total, limits.answers_bytes // 2)
