"""Means of rows, summed in float64 and in one order, so that every machine rounds alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from btard.aggregation.pieces import Piecework, over_pieces
from btard.aggregation.rows import CheckedRows, new_rows, side_by_side

_COLUMNS = 32768
"""Columns whose float64 sums stay in the second-level cache while rows are added to them; fewer make threads wait for
each other between short calls."""


def mean_of(rows: CheckedRows, positions: Sequence[int]) -> torch.Tensor:
    """Return the (d,) float32 mean of the rows at these positions, which are not none."""
    return means_of(rows, [tuple(positions)])[0]


def means_of(rows: CheckedRows, groups: Sequence[tuple[int, ...]]) -> list[torch.Tensor]:
    """Return the (d,) float32 mean of each group of positions, of which none is empty.

    Rows that follow each other are added up, then these sums: the order is the same wherever the rows lie.
    """
    means = list(new_rows(len(groups), rows.dimension).unbind(0))
    several = []
    for group, mean in zip(groups, means, strict=True):
        if len(group) == 1:
            mean.copy_(rows.rows[group[0]])
        else:
            several.append(([_Run(rows, run) for run in _runs(sorted(group))], len(group), mean.numpy()))

    def worker() -> Piecework:
        memory = np.empty((2, min(_COLUMNS, rows.dimension)))

        def work(piece: slice) -> None:
            sums, part = memory[:, : piece.stop - piece.start]
            for (first, *others), count, mean in several:
                first.added(piece, sums)
                for other in others:
                    sums += other.added(piece, part)
                sums += 0.0  # sums of -0 are 0 or -0, as NumPy adds them up
                mean[piece] = np.divide(sums, count, out=sums)

        return work

    if several:
        over_pieces(rows.dimension, _COLUMNS, worker)
    return means


def means_of_tails(rows: CheckedRows, order: Sequence[int], count: int) -> list[torch.Tensor]:
    """Return `count` (d,) float32 means: of the rows in this order, then without the first one, the first two, ...

    Their sums share all additions, from the last row on.
    """
    means = list(new_rows(count, rows.dimension).unbind(0))
    parts, results = [rows.rows[position].numpy() for position in order], [mean.numpy() for mean in means]

    def worker() -> Piecework:
        memory = np.empty((2, min(_COLUMNS, rows.dimension)))

        def work(piece: slice) -> None:
            sums, mean = memory[:, : piece.stop - piece.start]
            sums[:] = 0
            for gone in reversed(range(len(parts))):
                sums += parts[gone][piece]
                if gone < count:
                    results[gone][piece] = np.divide(sums, len(parts) - gone, out=mean)

        return work

    over_pieces(rows.dimension, _COLUMNS, worker)
    return means


class _Run:
    """Rows that follow each other."""

    def __init__(self, rows: CheckedRows, positions: range) -> None:
        some = rows.rows[positions.start : positions.stop]
        together = side_by_side(some)
        self._together = None if together is None else together.numpy()
        self._rows = [row.numpy() for row in some]

    def added(self, piece: slice, into: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the float64 sum of a piece of them, one row after the other, in the given memory."""
        if self._together is not None:
            # One call for all rows: threads that make many short ones wait for each other.
            return np.add.reduce(self._together[:, piece], axis=0, dtype=np.float64, out=into)
        into[:] = self._rows[0][piece]
        for row in self._rows[1:]:
            into += row[piece]
        return into


def _runs(positions: Sequence[int]) -> list[range]:
    """Return ascending positions as ranges, each as long as can be."""
    runs: list[range] = []
    for position in positions:
        if runs and runs[-1].stop == position:
            runs[-1] = range(runs[-1].start, position + 1)
        else:
            runs.append(range(position, position + 1))
    return runs


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
