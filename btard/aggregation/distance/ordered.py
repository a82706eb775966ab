"""Squared distances that have the same bits on every machine: elementwise float64 arithmetic, summed in one order.

Matrix products round as the processor and the library like it. Where two rows are almost equally good, that would
choose one row here and the other one there, and an attacker can make rows that are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from btard.aggregation.rows import CheckedRows

_COLUMNS = 4096
_LANES = 64
"""Partial sums of a row; a chunk is folded in halves until so many are left."""

_PAIRS = 16
"""Pairs that are subtracted at once: their differences stay in the second-level cache."""

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def squares_around(rows: CheckedRows, origin: torch.Tensor | None = None) -> Vector:
    """Return the (n,) squared distances of all rows from a (d,) float32 origin, or from zero.

    They are off by a few units of float64's rounding, never overflow, and are 0 exactly for rows that equal the origin.
    """
    firsts, places = np.unique(rows.firsts, return_inverse=True)
    given = [rows.rows[first].numpy() for first in firsts]
    wide, lanes = np.empty((len(given), _COLUMNS)), np.zeros((len(given), _LANES))
    for start in range(0, rows.dimension, _COLUMNS):
        length = _load(given, start, wide)
        if origin is not None:
            wide[:, :length] -= origin[start : start + length].double().numpy()
        lanes += _folded(np.multiply(wide, wide, out=wide), _LANES)
    squares: Vector = _folded(lanes, 1)[:, 0]
    return squares[places]


def squares_between(rows: CheckedRows, pairs: Sequence[tuple[int, int]]) -> Vector:
    """Return (len(pairs),) the squared distances of pairs of rows, each as exactly as `squares_around` has it."""
    used = sorted({position for pair in pairs for position in pair})
    given = [rows.rows[position].numpy() for position in used]
    left, right = (np.array([used.index(pair[side]) for pair in pairs], dtype=np.intp) for side in (0, 1))
    wide, lanes = np.empty((len(given), _COLUMNS)), np.zeros((len(pairs), _LANES))
    for start in range(0, rows.dimension, _COLUMNS):
        _load(given, start, wide)
        for first in range(0, len(pairs), _PAIRS):
            some = slice(first, first + _PAIRS)
            apart = wide[left[some]]
            apart -= wide[right[some]]
            lanes[some] += _folded(np.multiply(apart, apart, out=apart), _LANES)
    squares: Vector = _folded(lanes, 1)[:, 0]
    return squares


def all_squares(rows: CheckedRows) -> Matrix:
    """Return the (n, n) squared distances of all pairs of rows."""
    upper = np.zeros((len(rows), len(rows)))
    above = np.triu_indices(len(rows), 1)
    upper[above] = squares_between(rows, list(zip(*(side.tolist() for side in above), strict=True)))
    return upper + upper.T


def _load(given: Sequence[NDArray[np.float32]], start: int, wide: Matrix) -> int:
    """Copy a chunk of every row, filled up with zeros to the whole width, and return how many columns it has."""
    for row, into in zip(given, wide, strict=True):
        chunk = row[start : start + _COLUMNS]
        into[: len(chunk)] = chunk
    length = min(_COLUMNS, len(given[0]) - start) if given else 0
    wide[:, length:] = 0
    return length


def _folded(values: Matrix, width: int) -> Matrix:
    """Return (n, columns), both powers of two, summed to (n, width) by adding the second half to the first."""
    while values.shape[1] > width:
        half = values.shape[1] // 2
        values[:, :half] += values[:, half:]
        values = values[:, :half]
    return values
