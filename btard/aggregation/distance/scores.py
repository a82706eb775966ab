"""What Krum scores a row by, and the needs and the bound that the rules of its family share."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from btard.aggregation.distance.choice import Choice, lowest
from btard.aggregation.distance.distances import Distances

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]


def sums_of_nearest(distances: Matrix, count: int) -> Vector:
    """Return (n,) the sum of the `count` smallest numbers off the diagonal of each row of an (n, n) matrix."""
    others = distances.copy()
    np.fill_diagonal(others, np.inf)
    others.sort(axis=1)
    total = np.zeros(len(others))
    for column in range(min(count, len(others) - 1)):  # one after the other: every machine rounds alike
        total += others[:, column]
    return total


def best_scored(distances: Distances, neighbours: int, count: int, *, squared: bool = True) -> Choice:
    """Choose the `count` rows with the smallest sums of (squared) distances to their nearest `neighbours`."""
    low, high = distances.bounds
    if not squared:
        low, high = np.sqrt(low), np.sqrt(high)
    return lowest(sums_of_nearest(low, neighbours), sums_of_nearest(high, neighbours), count, distances.rows.firsts)


def krum_refusal(n: int, f: int) -> str | None:
    """Return why no row of n has enough honest neighbours when f may lie, or None."""
    return None if f == 0 or n >= 2 * f + 3 else f"krum needs {2 * f + 3} rows where {f} may lie, and there are {n}"


def krum_bound(n: int, f: int) -> float | None:
    """Return eta of Krum and of what builds on it (Blanchard, El Mhamdi, Guerraoui, Stainer, NIPS 2017, proposition 1):
    1 / sqrt(2 (n - f + f (n + f (n - f - 2) - 2) / (n - 2 f - 2)))."""
    if n - 2 * f - 2 <= 0:
        return None
    return 1 / math.sqrt(2 * (n - f + f * (n + f * (n - f - 2) - 2) / (n - 2 * f - 2)))
