"""What a validator seals and opens of a recomputation, and how others see that it has done one.

The seal is a salted hash of the recomputed vector, made before the direction of the opening is drawn. The salt follows
from the validator's key: nobody else can make the seal, and no two validators make the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from btard.hashing import digest, tagged_digest
from btard.identity import IdentityKey
from btard.round.messages.opening import Opening
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.tensors import bytes_of
from btard.verification.openings import measured, numbers_excess
from btard.verification.projection import Measure
from btard.vocabulary import Validation


@dataclass(frozen=True)
class Sketch:
    """A vector in a few numbers.

    Attributes:
        digest: of its float32 bytes.
        measures: of its blocks along the direction of an opening.
    """

    digest: bytes
    measures: tuple[Measure, ...]


def sketch(direction: bytes, vector: torch.Tensor) -> Sketch:
    """Return the sketch of a vector, float32 of shape (d,)."""
    return Sketch(digest(bytes_of(vector)), measured(direction, vector))


def salt_of(key: IdentityKey, roster: Roster) -> bytes:
    """Return the own salt for the step of a roster, 32 bytes, the same in all its attempts."""
    return tagged_digest("btard seal salt", key.sign(b"btard seal\0" + roster.digest))


def seal_of(salt: bytes, vector_digest: bytes) -> bytes:
    """Return the seal, 32 bytes, over a vector with this digest."""
    return tagged_digest("btard seal", salt, vector_digest)


def opening_of(salt: bytes, made: Sketch) -> Opening:
    """Return what opens the seal over a vector."""
    return Opening(salt, tuple(measure.projection for measure in made.measures))


def opening_excess(opening: Opening, seal: bytes, made: Sketch, rules: StepRules) -> float:
    """Return how far an opening is from what the same recomputation gives here, to be judged by
    `VerificationRules.opening`.

    Where all machines are alike, the seal has to be that of the same bytes, too.
    """
    exact = rules.verification.validation is Validation.EXACT
    if exact and seal_of(opening.salt, made.digest) != seal:
        return math.inf
    return numbers_excess(opening.numbers, made.measures, exact=exact)
