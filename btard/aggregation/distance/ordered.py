"""Squared distances that have the same bits on every machine: elementwise float64 arithmetic, summed in one order.

Matrix products round as the processor and the library like it. Where two rows are almost equally good, that would
choose one row here and the other one there, and an attacker can make rows that are.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from btard.aggregation.rows import CheckedRows

_COLUMNS = 4096
_LANES = 64
"""Partial sums of a row; a chunk is folded in halves until so many are left."""


def squares_around(rows: CheckedRows, origin: torch.Tensor | None = None) -> NDArray[np.float64]:
    """Return the (n,) squared distances of all rows from a (d,) float32 origin, or from zero.

    They are off by a few units of float64's rounding, never overflow, and are 0 exactly for rows that equal the origin.
    """
    firsts, places = np.unique(rows.firsts, return_inverse=True)
    given = [rows.rows[first] for first in firsts]
    block = rows.block if len(given) == len(rows) else None
    scratch = torch.empty(len(given), _COLUMNS, dtype=torch.float64)
    lanes = torch.zeros(len(given), _LANES, dtype=torch.float64)
    for start in range(0, rows.dimension, _COLUMNS):
        stop = min(start + _COLUMNS, rows.dimension)
        chunk = scratch[:, : stop - start]
        if block is not None:
            chunk.copy_(block[:, start:stop])
        else:
            for row, into in zip(given, chunk.unbind(0), strict=True):
                into.copy_(row[start:stop])
        if origin is not None:
            chunk.sub_(origin[start:stop].double())
        scratch[:, stop - start :] = 0
        scratch.mul_(scratch)
        lanes += _folded(scratch, _LANES)
    squares: NDArray[np.float64] = _folded(lanes, 1)[:, 0].numpy()
    return squares[places]


def _folded(values: torch.Tensor, width: int) -> torch.Tensor:
    """Return (n, columns), both powers of two, summed to (n, width) by adding the second half to the first."""
    while values.shape[1] > width:
        half = values.shape[1] // 2
        values[:, :half] += values[:, half:]
        values = values[:, :half]
    return values


def all_squares(rows: CheckedRows) -> NDArray[np.float64]:
    """Return the (n, n) squared distances of all pairs of rows, each exactly as `squares_around` has it."""
    n = len(rows)
    wide, apart = (torch.empty(n, _COLUMNS, dtype=torch.float64) for _ in range(2))
    lanes = torch.zeros(n, n, _LANES, dtype=torch.float64)
    for start in range(0, rows.dimension, _COLUMNS):
        stop = min(start + _COLUMNS, rows.dimension)
        for row, into in zip(rows.rows, wide.unbind(0), strict=True):
            into[: stop - start].copy_(row[start:stop])
        wide[:, stop - start :] = 0
        for position in range(n - 1):
            others = torch.sub(wide[position + 1 :], wide[position], out=apart[position + 1 :])
            lanes[position, position + 1 :] += _folded(others.mul_(others), _LANES)
    upper: NDArray[np.float64] = _folded(lanes.view(n * n, _LANES), 1).view(n, n).numpy()
    return upper + upper.T
