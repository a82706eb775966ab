"""Bodies that are read again and again: once is enough; and what several of them hold."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from btard.hashing import DIGEST_SIZE
from btard.identity import Envelope, Malformed
from btard.identity.codec import Reader

_SHORT = 16 << 10
"""Bytes; bodies up to this size are remembered: a message is looked at several times, in simulations by every peer."""

M = TypeVar("M")


def read_once(read: Callable[[bytes], M], body: bytes) -> M:
    """Return what `read` makes of a body, a message that nobody changes."""
    return remembered(read, body) if len(body) <= _SHORT else read(body)


# Readers of the same bytes share one message. What is malformed is not remembered.
@lru_cache(maxsize=2048)
def remembered(read: Callable[[bytes], M], body: bytes) -> M:
    """See `read_once`."""
    return read(body)


def digests_of(body: bytes, count: int) -> list[bytes]:
    """Read a body of so many digests; raises Malformed."""
    fields = Reader(body, limit=256)
    digests = fields.blobs(DIGEST_SIZE, most=count)
    fields.end()
    if len(digests) != count:
        raise Malformed(f"expected {count} fields")
    return digests


def digest_or_nothing(fields: Reader) -> bytes:
    """Read a digest, or no bytes; raises Malformed."""
    value = fields.blob(most=DIGEST_SIZE)
    if value and len(value) != DIGEST_SIZE:
        raise Malformed("expected a digest or nothing")
    return value


def genuine(data: bytes | Envelope) -> Envelope | None:
    """Return a message if its author has signed it."""
    try:
        envelope = data if isinstance(data, Envelope) else Envelope.decode(data)
        envelope.verify()
    except Malformed:
        return None
    return envelope
