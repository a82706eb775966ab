"""What members sign when they come back: where they remember that the run was, and where it is to go on."""

from __future__ import annotations

from dataclasses import dataclass

from btard.hashing import DIGEST_SIZE
from btard.identity import Malformed
from btard.identity.codec import Reader, ascending, encode

MAX_PLACES = 256
"""In one memory."""

_LAST_STEP = 2**62
_MOST_BYTES = 32 << 10


@dataclass(frozen=True, order=True)
class Place:
    """A step that is about to begin: what its members need to begin it, named by digests.

    Attributes:
        roster: 32 bytes, of the step.
        state: 32 bytes, of the training state before it.
    """

    step: int
    roster: bytes
    state: bytes

    def encode(self) -> bytes:
        """Return the canonical bytes: the body of a RESUME, whose author would go on here."""
        return encode([self.step, self.roster, self.state])

    @classmethod
    def decode(cls, body: bytes) -> Place:
        """Read bytes from the network; raises Malformed."""
        fields = Reader(body, limit=_MOST_BYTES)
        place = _read(fields)
        fields.end()
        return place


@dataclass(frozen=True)
class Memory:
    """The body of a MEMORY: the places that its author has stood in, by ascending step, one a step; the last is the
    newest."""

    places: tuple[Place, ...]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([[place.step, place.roster, place.state] for place in self.places])

    @classmethod
    def decode(cls, body: bytes) -> Memory:
        """Read bytes from the network; raises Malformed."""
        fields = Reader(body, limit=_MOST_BYTES)
        places = tuple(_read(fields) for _ in range(fields.items(most=MAX_PLACES)))
        fields.end()
        if not places or not ascending([place.step for place in places]):
            raise Malformed("no places, or not one a step in order")
        return cls(places)


def _read(fields: Reader) -> Place:
    fields.fields(3)
    return Place(fields.number(0, _LAST_STEP), fields.blob(DIGEST_SIZE), fields.blob(DIGEST_SIZE))
