"""Published products and norms of a whole step at a time: what can be said about them quickly.

Among n peers there are n^2 numbers, and in a simulation every peer looks at all of them. So what depends on the bytes
alone is computed once for all who hold the same ones, and columns that clearly add up are passed without a closer look.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from btard.round.messages import Scalars
from btard.round.partition import Partition
from btard.verification.scalars import DEVIATIONS, aggregate_error, measure_tolerance, within_bound

_CLEARLY = 0.9
"""The share of its tolerance within which a column clearly adds up: sums in other orders differ by far less."""


@lru_cache(maxsize=2048)
def scalar_fault(body: bytes, partition: Partition, tau: float) -> str | None:
    """Return what is wrong with the form of a Scalars message, or None; raises Malformed if it cannot be read."""
    scalars, parts = Scalars.decode(body), partition.count
    if len(scalars.products) != parts or len(scalars.norms) != parts:
        return f"gives {len(scalars.products)} products and {len(scalars.norms)} norms for {parts} parts"
    if scalars.doubts and scalars.doubts[-1] >= parts:
        return f"doubts part {scalars.doubts[-1]} of {parts}"
    bounds = partition.projection_bounds
    for part, (product, norm) in enumerate(zip(scalars.products, scalars.norms, strict=True)):
        if not within_bound(product, norm, tau, bounds[part]):
            return f"the product {product:g} and norm {norm:g} of part {part} are beyond any bound"
    return None


@lru_cache(maxsize=2)
def questionable(
    bodies: tuple[bytes, ...],
    aggregate_norms: tuple[float, ...],
    partition: Partition,
    tau: float,
    residual: float,
) -> tuple[int, ...]:
    """Return the parts whose products do not clearly add up to zero; `sum_tolerance` says whether they really do not.

    Args:
        bodies: the Scalars messages of all workers, well-formed.
        aggregate_norms: of each part's aggregate.
        residual: relative residual that the aggregation rule promises.
    """
    read = [Scalars.decode(body) for body in bodies]
    products = np.array([scalars.products for scalars in read])
    norms = np.array([scalars.norms for scalars in read])
    bounds = [partition.bounds(part) for part in range(partition.count)]
    error = np.array(
        [
            aggregate_error(norm, stop - start, partition.wire)
            for norm, (start, stop) in zip(aggregate_norms, bounds, strict=True)
        ]
    )
    with np.errstate(all="ignore"):  # whatever is not finite is questionable
        clipped = np.minimum(norms, tau)
        moved = np.minimum(error * _factors(np.maximum(norms - error, 0.0), tau), 2 * tau)
        measured = measure_tolerance(1.0, 1.0) * clipped
        tolerance = DEVIATIONS * (residual * clipped.sum(0) + moved.sum(0)) + measured.sum(0)
        clear = np.abs(products.sum(0)) <= _CLEARLY * tolerance
    return tuple(np.flatnonzero(~clear).tolist())


def _factors(norms: NDArray[np.float64], tau: float) -> NDArray[np.float64]:
    return np.where(norms <= tau, 1.0, tau / norms)
