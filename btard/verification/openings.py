"""The numbers by which a validator opens what it has recomputed: projections along a direction that nobody knew before.

The vector is cut into blocks, of each of which a validator gives the inner product with its piece of a random
direction (`projection`). The direction is drawn after the vector was sealed, so numbers that were made up are off by
about as much as what they were made of: for an error e that was fixed before, the squares of the blocks' errors add up
to ||e||^2 in the mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from btard.hashing import tagged_digest
from btard.vectors.partition import Partition
from btard.verification.projection import Measure, projection_of
from btard.verification.scalars import measure_tolerance
from btard.vocabulary import WireType

BLOCKS = 8
"""Numbers in an opening: so many that a guess is hardly ever right by chance, and few enough to travel."""


def direction_of(randomness: bytes, validator: bytes) -> bytes:
    """Return the 32 bytes that a validator's direction is drawn from; `randomness` is that of the step in which it has
    sealed its recomputation. No other direction of any step is drawn from them."""
    return tagged_digest("btard opening direction", randomness, validator)


def measured(direction: bytes, vector: torch.Tensor) -> tuple[Measure, ...]:
    """Return the inner product and the norm of each block of a vector, float32 of shape (d,)."""
    partition = Partition(len(vector), BLOCKS, WireType.FLOAT32)
    bounds = [partition.bounds(block) for block in range(BLOCKS)]
    origin = torch.zeros(1)
    blocks = [vector[start:stop] for start, stop in bounds]
    zeros = [origin.expand(stop - start) for start, stop in bounds]
    return tuple(projection_of(direction, partition).vector(blocks, zeros))


def numbers_excess(numbers: Sequence[float], true: Sequence[Measure], *, exact: bool) -> float:
    """Return how far numbers that a validator gives are from those of a vector that was computed here.

    Args:
        numbers: one a block.
        true: what was measured here, finite.
        exact: whether both machines compute the same bits: then in units of what two of them may measure differently;
            else relative to the vector's norm. NaN for numbers that are none.
    """
    pairs = list(zip(numbers, true, strict=True))
    if exact:
        offs = [
            abs(number - measure.projection) / measure_tolerance(measure.norm, math.inf) for number, measure in pairs
        ]
        return math.nan if any(map(math.isnan, offs)) else max(offs)
    offs = [abs(number - measure.projection) - measure_tolerance(measure.norm, math.inf) for number, measure in pairs]
    if not all(map(math.isfinite, offs)):
        return math.nan
    distance = math.hypot(*(max(0.0, off) for off in offs))
    size = math.hypot(*(measure.norm for measure in true))
    if not size > 0:
        return math.inf if distance > 0 else 0.0
    return distance / size
