"""What members ask each other for, and how they pass on what others have signed."""

from __future__ import annotations

from dataclasses import dataclass

from btard.identity import Malformed, MessageKind, PeerId
from btard.identity.codec import Reader, ascending, encode
from btard.identity.envelope import MAX_ENVELOPE, MIN_ENVELOPE
from btard.round.messages.bodies import BROADCAST_FORMS, BROADCASTS
from btard.round.roster import read_peer
from btard.vocabulary import MAX_PEERS

MAX_PULL = 1 << 17
"""Bytes; the longest request."""

_ASKED = {int(kind): kind for kind in (MessageKind.PART, MessageKind.AGGREGATE, *BROADCASTS)}

Item = tuple[MessageKind, PeerId, int]
"""What can be asked for: a PART or an AGGREGATE, its author, its number; or a broadcast, its author, 0."""


@dataclass(frozen=True)
class Pull:
    """Asks for what its author has not sent, or not to the asker; `items` ascend."""

    items: tuple[Item, ...]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([[int(kind), bytes(author), part] for kind, author, part in self.items])

    @classmethod
    def decode(cls, body: bytes) -> Pull:
        """Read bytes from the network; raises Malformed."""
        fields = Reader(body, limit=MAX_PULL)
        items = tuple(_item(fields) for _ in range(fields.items(most=MAX_PEERS)))
        fields.end()
        if not items or not ascending(items):
            raise Malformed("nothing is asked for, or not in order")
        return cls(items)

    @property
    def early(self) -> bool:
        """Whether it asks for commitments only, as a peer before the barrier does."""
        return all(kind is MessageKind.COMMIT for kind, _, _ in self.items)


def _item(fields: Reader) -> Item:
    fields.fields(3)
    number = fields.number(0, 255)
    kind, author = _ASKED.get(number), read_peer(fields)
    if kind is None:
        raise Malformed("that cannot be asked for")
    return kind, author, fields.number(0, 0 if kind in BROADCAST_FORMS else MAX_PEERS - 1)


@dataclass(frozen=True)
class Forward:
    """Signed messages of others, as their authors signed them: broadcasts that were asked for, or a report."""

    envelopes: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode(list(self.envelopes))

    @classmethod
    def decode(cls, body: bytes) -> Forward:
        """Read bytes from the network; raises Malformed."""
        return cls(carried(body, MAX_ENVELOPE))


@dataclass(frozen=True)
class Certificate:
    """The signed digests of all members of the attempt that finished a step: proof of it to a peer that knows them."""

    digests: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode(list(self.digests))

    @classmethod
    def decode(cls, body: bytes) -> Certificate:
        """Read bytes from the network; raises Malformed."""
        return cls(carried(body, 1024))


def carried(body: bytes, each: int) -> tuple[bytes, ...]:
    """Read a body that is a list of the messages of others, of at most `each` bytes; raises Malformed."""
    fields = Reader(body, limit=MAX_ENVELOPE)
    messages = tuple(fields.blob(least=MIN_ENVELOPE, most=each) for _ in range(fields.items(most=MAX_PEERS)))
    fields.end()
    return messages
