"""The mean of the sorted values that lie nearest to a centre, coordinate by coordinate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from btard.aggregation.coordinate.sorted_rows import by_sorted_values
from btard.aggregation.rows import CheckedRows

Wide = NDArray[np.float64]
Sorted = Sequence[NDArray[np.float32]]
Centre = Callable[[Sorted], Wide]
"""What makes (columns,) float64 of the n sorted values of some coordinates."""


def middle(columns: Sorted) -> Wide:
    """Return the median: the middle value, or the mean of the two middle ones."""
    n = len(columns)
    # In float64 the sum of two float32 numbers neither overflows nor rounds twice; adding 0 makes -0 a 0.
    return (np.add(columns[(n - 1) // 2], columns[n // 2], dtype=np.float64) + 0.0) / 2


def lower_middle(columns: Sorted) -> Wide:
    """Return the lower of the two middle values of an even number."""
    return columns[(len(columns) - 1) // 2].astype(np.float64) + 0.0


def mean_between(columns: Sorted, cut: int) -> Wide:
    """Return the mean of all but the `cut` smallest and largest values."""
    kept = columns[cut : len(columns) - cut]
    total = np.zeros(len(kept[0]))
    for column in kept:  # one after the other, in float64: every machine rounds alike
        total += column
    return total / len(kept)


def nearest_mean(columns: Sorted, centre: Wide, keep: int) -> Wide:
    """Return the mean of the `keep` of n sorted values that lie nearest to the centre; of two at one distance, the
    lower one counts as nearer.

    They are neighbours in the order. A window of them begins one value later as long as the value that it loses lies
    farther from the centre than the one that it gains.
    """
    spare = len(columns) - keep
    shifts = [centre - columns[start] > columns[start + keep] - centre for start in range(spare)]
    total = np.zeros(len(centre))
    for index, column in enumerate(columns):
        if spare <= index < keep:  # in every window
            total += column
            continue
        # The window holds value i if it begins at i or before, and ends at i or after.
        inside = np.ones(len(centre), dtype=np.bool_)
        if index < spare:
            inside &= ~shifts[index]
        if index >= keep:
            inside &= shifts[index - keep]
        total += np.where(inside, column, 0.0)
    return total / keep


def around(rows: CheckedRows, centre: Centre, keep: int) -> torch.Tensor:
    """Return (d,) float32: of every coordinate, the mean of the `keep` values that lie nearest to its centre."""
    return by_sorted_values(rows, lambda columns: nearest_mean(columns, centre(columns), keep))
