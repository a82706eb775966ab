"""Long bytes in chunks: the digest of the whole follows from those of the chunks, so each can be believed alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from blake3 import blake3

from btard.hashing import DIGEST_SIZE, Payload, digest, tagged_digest
from btard.identity.codec import as_bytes, as_fields, as_int, decode, encode

CHUNK_BYTES = 4 << 20
"""Bytes of every chunk but the last. Shorter ones would cost more streams than a peer may open, see `Limits`."""

_HEAD_BYTES = 32
"""Of an encoded outline, beside the digests."""


@dataclass(frozen=True)
class Outline:
    """How many bytes there are, and the digests of their chunks.

    Attributes:
        size: of all bytes.
        digests: those of the chunks one behind the other, DIGEST_SIZE bytes each.
    """

    size: int
    digests: bytes

    @classmethod
    def of(cls, pieces: Iterable[Payload]) -> Outline:
        """Return the outline of bytes that come in pieces of any lengths."""
        size, digests, hasher, room = 0, bytearray(), blake3(), CHUNK_BYTES
        for piece in pieces:
            size += len(piece)
            if len(piece) < room:
                hasher.update(piece)
                room -= len(piece)
                continue
            view, start = memoryview(piece), 0
            while len(view) - start >= room:
                hasher.update(view[start : start + room])
                digests += hasher.digest()
                start, hasher, room = start + room, blake3(), CHUNK_BYTES
            hasher.update(view[start:])
            room -= len(view) - start
        if room < CHUNK_BYTES:
            digests += hasher.digest()
        return cls(size, bytes(digests))

    @cached_property
    def digest(self) -> bytes:
        """The digest of the whole, which no other size or chunks have."""
        return tagged_digest("btard outline", self.size.to_bytes(8, "big"), self.digests)

    def __len__(self) -> int:
        return len(self.digests) // DIGEST_SIZE

    def chunk(self, index: int) -> tuple[int, int]:
        """Return where a chunk begins and ends."""
        return index * CHUNK_BYTES, min((index + 1) * CHUNK_BYTES, self.size)

    def has(self, index: int, data: Payload) -> bool:
        """Whether these are the bytes of that chunk."""
        return digest(data) == self.digests[index * DIGEST_SIZE : (index + 1) * DIGEST_SIZE]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.size, self.digests])

    @classmethod
    def decode(cls, data: bytes, most: int) -> Outline:
        """Read bytes from the network, of an outline of at most `most` bytes; raises Malformed."""
        size, digests = as_fields(decode(data, limit=longest(most)), 2)
        size = as_int(size, 1, most)
        return cls(size, as_bytes(digests, -(-size // CHUNK_BYTES) * DIGEST_SIZE))


@dataclass(frozen=True)
class Outlined:
    """Bytes with their outline."""

    data: bytes
    outline: Outline

    @classmethod
    def of(cls, data: bytes) -> Outlined:
        """Return bytes with what follows from them."""
        return cls(data, Outline.of((data,)))

    def chunk(self, index: int) -> memoryview | None:
        """Return a chunk, None where there is none of this number."""
        start, end = self.outline.chunk(index)
        return memoryview(self.data)[start:end] if 0 <= start < end else None


def longest(most: int) -> int:
    """Return how many bytes an encoded outline of at most `most` bytes has at most."""
    return _HEAD_BYTES + -(-most // CHUNK_BYTES) * DIGEST_SIZE
