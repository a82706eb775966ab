"""Means of rows, summed in float64 and in one order, so that every machine rounds alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from btard.aggregation.pieces import Piecework, over_pieces
from btard.aggregation.rows import CheckedRows, new_rows

_COLUMNS = 16384
"""Columns whose float64 sums stay in the second-level cache while rows are added to them."""


def mean_of(rows: CheckedRows, positions: Sequence[int]) -> torch.Tensor:
    """Return the (d,) float32 mean of the rows at these positions, which are not none."""
    return means_of(rows, [tuple(positions)])[0]


def means_of(rows: CheckedRows, groups: Sequence[tuple[int, ...]]) -> list[torch.Tensor]:
    """Return the (d,) float32 mean of each group of positions, of which none is empty."""
    means = list(new_rows(len(groups), rows.dimension).unbind(0))
    arrays, results = [row.numpy() for row in rows.rows], [mean.numpy() for mean in means]

    def worker() -> Piecework:
        memory = np.empty(min(_COLUMNS, rows.dimension))

        def work(piece: slice) -> None:
            sums = memory[: piece.stop - piece.start]
            for group, result in zip(groups, results, strict=True):
                first, *others = sorted(group)
                if not others:
                    result[piece] = arrays[first][piece]
                    continue
                sums[:] = arrays[first][piece]
                for position in others:
                    sums += arrays[position][piece]
                result[piece] = np.divide(sums, len(group), out=sums)

        return work

    over_pieces(rows.dimension, _COLUMNS, worker)
    return means


def weighted_mean(rows: CheckedRows, weights: NDArray[np.float64]) -> torch.Tensor:
    """Return the (d,) float32 sum of all rows times their (n,) weights, which are not negative and add up to 1."""
    value = torch.empty(rows.dimension)
    result, limit = value.numpy(), float(torch.finfo(torch.float32).max)
    parts = [(row.numpy(), weight) for row, weight in zip(rows.rows, weights.tolist(), strict=True) if weight]

    def worker() -> Piecework:
        sums, one = np.empty((2, min(_COLUMNS, rows.dimension)))

        def work(piece: slice) -> None:
            length = piece.stop - piece.start
            sums[:length] = 0
            for row, weight in parts:
                sums[:length] += np.multiply(row[piece], weight, out=one[:length], dtype=np.float64)
            # Weights may add up to a little more than 1.
            result[piece] = np.clip(sums[:length], -limit, limit)

        return work

    over_pieces(rows.dimension, _COLUMNS, worker)
    return value
