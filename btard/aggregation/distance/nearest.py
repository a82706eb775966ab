"""The mean of the rows that lie nearest to something: what CGE, MoNNA and Aksel differ in is to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from btard.aggregation.averages import mean_of
from btard.aggregation.distance.choice import lowest
from btard.aggregation.distance.ordered import squares_around
from btard.aggregation.rows import CheckedRows, check_rows, side_by_side
from btard.aggregation.rule import AggregationResult

Vector = NDArray[np.float64]

_BLOCK = 256
"""Squares that are summed in float32 before float64 takes over."""

_COLUMNS = 128 * _BLOCK
"""Columns whose differences stay in the cache until they are squared."""

_ROUNDING = (_BLOCK + 8) * 2.0**-24
"""The most by which such a sum of squared differences is off, as a share of it: 2^-24 for each term, and a few for the
subtraction, the square, the root that is taken of a block, and its square."""

_LEAST, _MOST = 2.0**-80, 2.0**100
"""Squared lengths between which squares of float32 numbers neither overflow nor lose digits that count."""


def mean_of_nearest(rows: CheckedRows, origin: torch.Tensor | None, count: int) -> AggregationResult:
    """Return the mean of the `count` rows nearest to a (d,) float32 origin, or to zero; of rows at one distance, those
    that come first.

    Raises:
        BadRow: a row is not finite.
    """
    low, high = distance_bounds(rows, origin)
    while (choice := lowest(low, high, count, rows.firsts)).unsure:
        settle(rows, origin, choice.unsure, low, high)
    chosen = tuple(sorted(choice.positions))
    return AggregationResult(mean_of(rows, chosen), selected=chosen)


def distance_bounds(rows: CheckedRows, origin: torch.Tensor | None) -> tuple[Vector, Vector]:
    """Return (n,) numbers below and above the squared distances of all rows from an origin, or from zero, in one pass
    over them.

    Raises:
        BadRow: a row is not finite.
    """
    squares = _rough_squares(rows, origin)
    low, high = squares * (1 - _ROUNDING), squares * (1 + _ROUNDING)
    odd = np.flatnonzero(~((squares >= _LEAST) & (squares <= _MOST)))
    if odd.size:
        if not np.isfinite(squares).all():
            check_rows(rows.rows)
        settle(rows, origin, odd.tolist(), low, high)
    return low, high


def settle(rows: CheckedRows, origin: torch.Tensor | None, some: Sequence[int], low: Vector, high: Vector) -> None:
    """Make both bounds of some rows what `squares_around` measures."""
    few = replace(rows, separate=tuple(rows.rows[position] for position in some), block=None)
    low[list(some)] = high[list(some)] = squares_around(few, origin)


def _rough_squares(rows: CheckedRows, origin: torch.Tensor | None) -> Vector:
    """Return (n,) the squared distances, summed in float32 block by block; NaN or infinite for a row that is not
    finite."""
    firsts, places = np.unique(rows.firsts, return_inverse=True)
    given = [rows.rows[first] for first in firsts]
    together = side_by_side(given)
    total = torch.zeros(len(given), dtype=torch.float64)
    memory = torch.empty(len(given), min(_COLUMNS, -(-rows.dimension // _BLOCK) * _BLOCK))
    for start in range(0, rows.dimension, _COLUMNS):
        piece = slice(start, min(start + _COLUMNS, rows.dimension))
        length = piece.stop - piece.start
        apart = memory[:, : -(-length // _BLOCK) * _BLOCK]
        apart[:, length:] = 0
        if together is not None and origin is None and apart.shape[1] == length:
            apart = together[:, piece]
        elif together is not None and origin is not None:
            torch.sub(together[:, piece], origin[piece], out=apart[:, :length])
        else:
            for row, into in zip(given, apart[:, :length].unbind(0), strict=True):
                into.copy_(row[piece]) if origin is None else torch.sub(row[piece], origin[piece], out=into)
        norms = torch.linalg.vector_norm(apart.unflatten(1, (-1, _BLOCK)), dim=2).double()
        total += norms.square_().sum(1)
    squares: Vector = total.numpy()
    return squares[places]
