"""Choosing rows by numbers that are only known within bounds, so that every machine chooses the same.

The numbers are monotone functions of the distances, so bounds of these give bounds of those. What the bounds leave open
is measured in one order, which costs a pass over the rows for each of the few that contend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from btard.aggregation.distance.distances import Distances

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """Which rows were chosen: `positions`, in the order of the choice. `unsure` are those whose numbers lie too closely
    together for it to count, and `unsure_pairs` such pairs of rows; both are empty if it does."""

    positions: tuple[int, ...]
    unsure: tuple[int, ...] = ()
    unsure_pairs: tuple[tuple[int, int], ...] = ()


def decided(distances: Distances, choose: Callable[[Distances], Choice]) -> tuple[int, ...]:
    """Return what `choose` chooses once it is sure. It is, at the latest, when all distances are exact."""
    while True:
        choice = choose(distances)
        pairs = [(row, other) for row in choice.unsure for other in range(len(distances.rows))]
        pairs += choice.unsure_pairs
        if not pairs:
            return choice.positions
        distances = distances.refined(pairs)


def lowest(low: Vector, high: Vector, count: int, alike: NDArray[np.intp]) -> Choice:
    """Choose the `count` rows with the lowest numbers, of equal ones those that come first.

    Args:
        low, high: (n,) bounds of the numbers; equal where a number is exact.
        count: from 0 to n.
        alike: (n,) equal for rows that are the same row, which have the same number whatever it is.
    """
    order = np.argsort((low + high) / 2, kind="stable")
    taken, left = order[:count], order[count:]
    if not len(taken) or not len(left):
        return Choice(tuple(taken.tolist()))
    open_ = set()
    for one in taken:
        rivals = left[(high[one] >= low[left]) & (alike[one] != alike[left])]
        # Two exact numbers decide, and if they are equal the first row does.
        rivals = rivals[(low[rivals] < high[rivals]) | (low[one] < high[one])]
        if len(rivals):
            open_ |= {int(one), *rivals.tolist()}
    return Choice(tuple(taken.tolist()), tuple(sorted(open_)))
