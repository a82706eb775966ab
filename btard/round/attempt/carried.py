"""The payloads of one attempt: which have come, which are on their way, and the memory that they are in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from btard.hashing import Payload
from btard.identity import MessageKind, PeerId
from btard.round.attempt.seats import Seats
from btard.round.messages.requests import Item
from btard.vectors.buffers import BufferPool

_PART = MessageKind.PART


class Carried:
    """Rows, which are parts of vectors, and aggregates of parts.

    Attributes:
        rows: parts of others and of this peer, by (author, part).
        gathered: owners whose aggregate is in `flat`.
        broken: (kind, author) of what did not come whole, and has not come since.
        in_flight: the buffers of what is on its way, by (sender, item).
        pulled: (holder, item) that this peer has asked others for.
        alarm: whether anything has ever come broken.
    """

    def __init__(self, seats: Seats, pool: BufferPool | None = None) -> None:
        """Begin with nothing; memory comes from the pool, or is fresh."""
        self._seats = seats
        self._pool = pool
        self.rows: dict[tuple[PeerId, int], memoryview] = {}
        self.gathered: set[PeerId] = set()
        self.broken: set[tuple[MessageKind, PeerId]] = set()
        self.in_flight: dict[tuple[PeerId, Item], memoryview] = {}
        self.pulled: set[tuple[PeerId, Item]] = set()
        self.alarm = False

    @cached_property
    def flat(self) -> memoryview:
        """The wire bytes of all aggregates; where they have not come, anything."""
        length = self._seats.rules.dimension * self._seats.rules.wire.size
        return memoryview(bytearray(length)) if self._pool is None else self._pool.take(length)

    def aggregate(self, part: int) -> memoryview:
        """Return the wire bytes of the aggregate of a part, inside of `flat`."""
        return self._seats.partition.view(self.flat, part)

    def holds(self, item: Item) -> memoryview | None:
        """Return the bytes of a part or an aggregate that this peer has."""
        kind, author, part = item
        if kind is _PART:
            return self.rows.get((author, part))
        return self.aggregate(part) if author in self.gathered else None

    def keep_rows(self, author: PeerId, rows: Sequence[memoryview]) -> None:
        """Keep all parts of one vector."""
        for part, row in enumerate(rows):
            self.rows[author, part] = row

    def keep_aggregate(self, owner: PeerId, payload: Payload) -> None:
        """Keep the aggregate of an owner's part."""
        self.aggregate(self._seats.part_of[owner])[:] = payload
        self.gathered.add(owner)

    def ask(self, holders: Sequence[PeerId], item: Item) -> None:
        """Note that these peers are asked for an item, which makes it welcome from them."""
        self.pulled.update((holder, item) for holder in holders)

    def expect(self, sender: PeerId, item: Item, length: int) -> memoryview:
        """Return the buffer for an item of so many bytes that a peer begins to send."""
        if item[0] is _PART:
            buffer = memoryview(bytearray(length)) if self._pool is None else self._pool.take(length)
        else:
            shared = bool(self.in_flight) and any(other == item for _, other in self.in_flight)
            buffer = memoryview(bytearray(length)) if shared else self.aggregate(item[2])
        self.in_flight[sender, item] = buffer
        return buffer

    def take(self, item: Item, buffer: memoryview) -> None:
        """Keep an item that has come whole, if it is the first to."""
        kind, author, part = item
        if kind is _PART:
            self.rows.setdefault((author, part), buffer)
        else:
            if author not in self.gathered:
                self.aggregate(part)[:] = buffer  # a copy onto itself unless another sender was first
            self.gathered.add(author)
        self.broken.discard((kind, author))

    def lose(self, sender: PeerId, kind: MessageKind, author: PeerId) -> None:
        """Note that what a sender has begun to send will not come."""
        for flight in [f for f in self.in_flight if f[0] == sender and f[1][:2] == (kind, author)]:
            del self.in_flight[flight]
            if sender == author:
                self.note_broken(kind, author)

    def drop_row(self, author: PeerId, part: int) -> None:
        """Let go of a row that is not the one that its author has committed to."""
        del self.rows[author, part]
        self.note_broken(_PART, author)

    def note_broken(self, kind: MessageKind, author: PeerId) -> None:
        """Note that something of an author has not come whole."""
        self.broken.add((kind, author))
        self.alarm = True

    def release_rows(self) -> None:
        """Let go of the rows of a finished attempt, but for the memory that something may still be written into."""
        for (author, _), row in self.rows.items():
            if self._pool is not None and author != self._seats.me:
                self._pool.give(row)
        self.rows.clear()

    def release(self) -> None:
        """Let go of the aggregates of a finished attempt, which nobody will ask about any more."""
        if self._pool is not None and not self.in_flight:
            self._pool.give(self.flat)
        self.__dict__.pop("flat", None)  # what was signed is kept for a step more
