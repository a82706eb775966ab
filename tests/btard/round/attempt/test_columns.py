"""The quick look at published numbers says what the slow one says."""

from __future__ import annotations

import random

import pytest

from btard.round.attempt.columns import questionable, scalar_fault
from btard.round.messages.bodies import Scalars
from btard.vectors.partition import Partition
from btard.verification.scalars import aggregate_error, published_sum_tolerance
from btard.vocabulary import WireType

PARTS, DIMENSION = 5, 32


def messages(seed: int, off: float, tau: float) -> list[Scalars]:
    """Return columns that add up to zero but for `off` times the tolerance, which is added to part 2."""
    chance = random.Random(seed)
    norms = [[chance.uniform(0.1, 3.0) for _ in range(PARTS)] for _ in range(PARTS)]
    products = [[chance.gauss(0, min(norm, tau)) for norm in row] for row in norms]
    for part in range(PARTS):
        products[-1][part] = -sum(row[part] for row in products[:-1])
    partition = Partition(DIMENSION, PARTS, WireType.FLOAT32)
    start, stop = partition.bounds(2)
    error = aggregate_error(1.0, stop - start, partition.wire)
    limit = float(published_sum_tolerance([row[2] for row in norms], tau, residual=1e-6, error=error))
    products[0][2] += off * limit
    return [Scalars(bytes(32), tuple(p), tuple(n), ()) for p, n in zip(products, norms, strict=True)]


@pytest.mark.parametrize("tau", [0.5, 1.0, float("inf")])
@pytest.mark.parametrize("seed", range(20))
def test_columns_near_or_beyond_their_tolerance_are_suspect(seed: int, tau: float) -> None:
    partition = Partition(DIMENSION, PARTS, WireType.FLOAT32)
    for off, expected in ((0.0, ()), (0.79, ()), (-0.79, ()), (0.81, (2,)), (1.0001, (2,)), (-5.0, (2,)), (1e6, (2,))):
        bodies = tuple(scalars.encode() for scalars in messages(seed, off, tau))
        assert questionable(bodies, (1.0,) * PARTS, partition, tau, 1e-6) == expected


def test_numbers_that_are_not_finite_are_questionable() -> None:
    bodies = tuple(scalars.encode() for scalars in messages(0, 0.0, 1.0))
    partition = Partition(DIMENSION, PARTS, WireType.FLOAT32)
    assert questionable(bodies, (1.0, float("nan"), 1.0, 1.0, 1.0), partition, 1.0, 1e-6) == (1,)


def test_the_form_is_judged_alike_when_it_is_remembered() -> None:
    partition = Partition(DIMENSION, PARTS, WireType.FLOAT32)
    good = messages(0, 0.0, 1.0)[0]
    wild = Scalars(bytes(32), (1e9,) * PARTS, (1.0,) * PARTS, ())
    short = Scalars(bytes(32), (0.0,), (0.0,), ())
    for _ in range(2):
        assert scalar_fault(good.encode(), partition, 10.0) is None
        assert "beyond any bound" in str(scalar_fault(wild.encode(), partition, 10.0))
        assert "gives 1 products" in str(scalar_fault(short.encode(), partition, 10.0))
