"""The distances of all pairs of rows by one matrix product, each with the most by which it may be off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from btard.aggregation.distance.ordered import squares_around
from btard.aggregation.rows import CheckedRows, Rows, check_rows, formed_rows, magnitude_of

Matrix = NDArray[np.float64]

_BLOCK = 128
"""Products summed in float32 before float64 takes over: many make the bound wide, few the matrix product slow."""

_ROUNDING = (_BLOCK + 1) * 2.0**-24
"""The most by which a sum of so many float32 products is off, as a share of the sum of their absolute values."""

_LEAST, _MOST = 2.0**-80, 2.0**100
"""Squared lengths between which products of float32 numbers neither overflow nor lose digits that count."""

_COLUMNS = 64 * _BLOCK
"""Of rows in separate buffers, which are copied together chunk by chunk."""


@dataclass(frozen=True)
class Distances:
    """Between n rows.

    Attributes:
        rows: the rows, of which every number is finite.
        squared: (n, n) float64, symmetric, zero on the diagonal.
        slack: (n, n) float64: the most by which each is off; 0 where it has the same bits on every machine.
    """

    rows: CheckedRows
    squared: Matrix
    slack: Matrix

    @property
    def bounds(self) -> tuple[Matrix, Matrix]:
        """Below and above every squared distance."""
        return np.maximum(self.squared - self.slack, 0.0), self.squared + self.slack

    def refined(self, positions: list[int]) -> Self:
        """Return them with the distances from the rows at these positions measured in one order."""
        squared, slack = self.squared.copy(), self.slack.copy()
        for first in sorted({int(self.rows.firsts[position]) for position in positions}):
            alike = np.flatnonzero(self.rows.firsts == first)
            if not slack[first].any():
                continue
            exact = squares_around(self.rows, self.rows.rows[first])
            squared[alike], squared[:, alike] = exact, exact[:, None]
            slack[alike], slack[:, alike] = 0.0, 0.0
        return type(self)(self.rows, squared, slack)


@torch.no_grad()
def measured(rows: Rows) -> Distances:
    """Return the distances between all rows, in one pass over them where their lengths are nothing special.

    Raises:
        BadRow, ValueError: as `check_rows`.
    """
    formed = formed_rows(rows)
    firsts, places = np.unique(formed.firsts, return_inverse=True)
    products = _gram(formed, firsts)
    squares = products.diagonal()
    # NaN and infinity in a row are NaN or infinity in its product with itself, so this pass has found them, too.
    plain = (squares >= _LEAST) & (squares <= _MOST)
    if not all(
        good or (square == 0 and magnitude_of(formed.rows[first]) == 0)
        for good, square, first in zip(plain, squares, firsts, strict=True)
    ):
        return _unmeasured(check_rows(rows))
    sums = np.add.outer(squares, squares)
    squared, slack = np.maximum(sums - 2 * products, 0.0), 2 * _ROUNDING * sums
    np.fill_diagonal(squared, 0.0)
    np.fill_diagonal(slack, 0.0)
    expanded = np.ix_(places, places)
    return Distances(formed, squared[expanded], slack[expanded])


def _unmeasured(rows: CheckedRows) -> Distances:
    """Return the distances between rows whose products leave the range of float32."""
    unknown = np.zeros((len(rows), len(rows)))
    whole = Distances(rows, unknown, np.where(np.equal.outer(rows.firsts, rows.firsts), 0.0, 1.0))
    return whole.refined(list(range(len(rows))))


def _gram(rows: CheckedRows, firsts: NDArray[np.intp]) -> Matrix:
    """Return the (k, k) inner products of the k rows at the given positions."""
    k, d = len(firsts), rows.dimension
    total = torch.zeros(k, k, dtype=torch.float64)
    whole = 0
    if rows.block is not None and k == len(rows) and rows.block.stride(1) == 1:
        whole = d // _BLOCK * _BLOCK
        total += _block_products(rows.block[:, :whole])
    given = [rows.rows[first] for first in firsts]
    scratch = torch.empty(k, min(_COLUMNS, -(-(d - whole) // _BLOCK) * _BLOCK))
    for start in range(whole, d, _COLUMNS):
        stop = min(start + _COLUMNS, d)
        chunk = scratch[:, : -(-(stop - start) // _BLOCK) * _BLOCK]
        for row, into in zip(given, chunk.unbind(0), strict=True):
            into[: stop - start].copy_(row[start:stop])
        chunk[:, stop - start :] = 0
        total += _block_products(chunk)
    symmetric: Matrix = ((total + total.T) / 2).numpy()
    return symmetric


def _block_products(chunk: torch.Tensor) -> torch.Tensor:
    """Return the (k, k) float64 inner products of (k, columns) float32 rows, columns a multiple of the block."""
    blocks = chunk.unflatten(1, (-1, _BLOCK)).transpose(0, 1)
    return torch.bmm(blocks, blocks.transpose(1, 2)).sum(0, dtype=torch.float64)
