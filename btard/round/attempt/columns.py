"""Published products and norms of a whole step at a time: what can be said about them quickly.

Among n peers there are n^2 numbers, and in a simulation every peer looks at all of them. So what depends on the bytes
alone is computed once for all that hold the same ones, and columns that clearly add up are passed without a closer
look.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from btard.round.messages.bodies import Scalars
from btard.vectors.partition import Partition
from btard.verification.scalars import aggregate_error, published_sum_tolerance, within_bound
from btard.verification.thresholds import SUM


@lru_cache(maxsize=2048)
def scalar_fault(body: bytes, partition: Partition, tau: float) -> str | None:
    """Return what is wrong with the form of a Scalars message, or None; raises Malformed if it cannot be read."""
    scalars, parts = Scalars.decode(body), partition.count
    if len(scalars.products) != parts or len(scalars.norms) != parts:
        return f"gives {len(scalars.products)} products and {len(scalars.norms)} norms for {parts} parts"
    if scalars.doubts and scalars.doubts[-1] >= parts:
        return f"doubts part {scalars.doubts[-1]} of {parts}"
    bounds, longest = partition.projection_bounds, partition.longest_deviations
    for part, (product, norm) in enumerate(zip(scalars.products, scalars.norms, strict=True)):
        if not within_bound(product, norm, tau, bounds[part], longest[part]):
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
    """Return the parts whose products do not clearly add up to zero: all that `sum_excess` does not acquit, up to the
    order of summation.

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
    with np.errstate(invalid="ignore"):  # where an aggregate is not finite
        tolerance = published_sum_tolerance(norms, tau, residual=residual, error=error)
    return tuple(np.flatnonzero(~(np.abs(products.sum(0)) <= SUM.acquit * tolerance)).tolist())
