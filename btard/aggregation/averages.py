"""Means of rows, summed in float64 and in one order, so that every machine rounds alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from btard.aggregation.rows import CheckedRows

# The float64 sums of this many columns stay in cache while the rows are added to them.
_COLUMNS = 65536


def mean_of(rows: CheckedRows, positions: Sequence[int]) -> torch.Tensor:
    """Return the (d,) float32 mean of the rows at these positions, which are not none."""
    if len(positions) == 1:
        return rows.rows[positions[0]].clone()
    value = torch.empty(rows.dimension)
    given = [rows.rows[position] for position in sorted(positions)]
    total = torch.empty(min(_COLUMNS, rows.dimension), dtype=torch.float64)
    for start in range(0, rows.dimension, _COLUMNS):
        piece = slice(start, min(start + _COLUMNS, rows.dimension))
        sums = total[: piece.stop - start].copy_(given[0][piece])
        for row in given[1:]:
            sums += row[piece]
        value[piece] = sums.div_(len(given))
    return value


def weighted_mean(rows: CheckedRows, weights: NDArray[np.float64]) -> torch.Tensor:
    """Return the (d,) float32 sum of all rows times their (n,) weights, which are not negative and add up to 1."""
    value = torch.empty(rows.dimension)
    total = torch.empty(min(_COLUMNS, rows.dimension), dtype=torch.float64)
    for start in range(0, rows.dimension, _COLUMNS):
        piece = slice(start, min(start + _COLUMNS, rows.dimension))
        sums = total[: piece.stop - start].zero_()
        for row, weight in zip(rows.rows, weights.tolist(), strict=True):
            if weight:
                sums += row[piece].double() * weight
        limit = torch.finfo(torch.float32).max
        value[piece] = sums.clamp_(-limit, limit)  # weights may add up to a little more than 1
    return value
