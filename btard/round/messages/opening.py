"""What a validator opens of a vector that it has sealed in the step before."""

from __future__ import annotations

from dataclasses import dataclass

from btard.hashing import DIGEST_SIZE
from btard.identity import Malformed
from btard.identity.codec import Reader
from btard.verification.openings import BLOCKS


@dataclass(frozen=True)
class Opening:
    """In a COMMIT: what is behind the author's seal.

    Attributes:
        salt: of the seal, 32 bytes.
        numbers: of the recomputed vector, one a block; any, NaN included.
    """

    salt: bytes
    numbers: tuple[float, ...]

    def pack(self) -> list[object]:
        """Return the fields for the codec."""
        return [self.salt, list(self.numbers)]

    @classmethod
    def read(cls, fields: Reader) -> Opening | None:
        """Read `pack`'s fields, or nothing; raises Malformed."""
        if fields.none():
            return None
        fields.fields(2)
        opening = cls(fields.blob(DIGEST_SIZE), fields.floats(most=BLOCKS))
        if len(opening.numbers) != BLOCKS:
            raise Malformed(f"an opening has {BLOCKS} numbers")
        return opening
