"""The distances of all pairs of rows by one matrix product, each with the most by which it may be off."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from btard.aggregation.distance.ordered import squares_between
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

_WIDE_BLOCK, _WIDE_COLUMNS = 2048, 65536
"""Likewise in float64."""


@dataclass(frozen=True)
class Distances:
    """Between n rows.

    Attributes:
        rows: the rows, of which every number is finite.
        squared: (n, n) float64, symmetric, zero on the diagonal.
        slack: (n, n) float64: the most by which each is off; 0 where it has the same bits on every machine.
        precise: whether they were measured in float64, which leaves little slack.
    """

    rows: CheckedRows
    squared: Matrix
    slack: Matrix
    precise: bool

    @property
    def bounds(self) -> tuple[Matrix, Matrix]:
        """Below and above every squared distance."""
        return np.maximum(self.squared - self.slack, 0.0), self.squared + self.slack

    def refined(self, pairs: Iterable[tuple[int, int]]) -> Self:
        """Return them measured in float64 or, if they were, with these pairs of rows measured in one order."""
        if not self.precise:
            return type(self)(self.rows, *_expanded(self.rows, *_in_float64(self.rows)), True)
        firsts = self.rows.firsts.tolist()
        ordered = {(min(firsts[a], firsts[b]), max(firsts[a], firsts[b])) for a, b in pairs}
        wanted = sorted((a, b) for a, b in ordered if self.slack[a, b] > 0)
        squared, slack = self.squared.copy(), self.slack.copy()
        for (a, b), exact in zip(wanted, squares_between(self.rows, wanted).tolist(), strict=True):
            some = np.ix_(self.rows.firsts == a, self.rows.firsts == b)
            squared[some], squared.T[some] = exact, exact
            slack[some], slack.T[some] = 0.0, 0.0
        return type(self)(self.rows, squared, slack, True)


@torch.no_grad()
def measured(rows: Rows) -> Distances:
    """Return the distances between all rows, in one pass over them where their lengths are nothing special.

    Raises:
        BadRow, ValueError: as `check_rows`.
    """
    formed = formed_rows(rows)
    firsts = np.unique(formed.firsts)
    products = _in_float32(formed, firsts)
    squares = products.diagonal()
    # NaN and infinity in a row are NaN or infinity in its product with itself, so this pass has found them, too.
    plain = (squares >= _LEAST) & (squares <= _MOST)
    zero = [square == 0 and magnitude_of(formed.rows[at]) == 0 for square, at in zip(squares, firsts, strict=True)]
    if not (plain | zero).all():
        checked = check_rows(rows)
        return Distances(checked, *_expanded(checked, *_in_float64(checked)), True)
    return Distances(formed, *_expanded(formed, products, _ROUNDING), False)


def _expanded(rows: CheckedRows, products: Matrix, rounding: float) -> tuple[Matrix, Matrix]:
    """Return the (n, n) squared distances and their slack, from the products of rows in different places."""
    squares = products.diagonal()
    sums = np.add.outer(squares, squares)
    squared, slack = np.maximum(sums - 2 * products, 0.0), 2 * rounding * sums
    np.fill_diagonal(squared, 0.0)
    np.fill_diagonal(slack, 0.0)
    _, places = np.unique(rows.firsts, return_inverse=True)
    whole = np.ix_(places, places)
    return squared[whole], slack[whole]


def _in_float64(rows: CheckedRows) -> tuple[Matrix, float]:
    """Return the products of the rows seen from the first one, and the most by which a product is off, as a share of
    what `_expanded` doubles. Seen from one of them, rows that lie far from zero lose no digits."""
    firsts, d = np.unique(rows.firsts), rows.dimension
    given, origin = [rows.rows[first].numpy() for first in firsts], rows.rows[0].numpy()
    width = min(_WIDE_COLUMNS, -(-d // _WIDE_BLOCK) * _WIDE_BLOCK)
    scratch = torch.zeros(len(given), width, dtype=torch.float64)
    total = torch.zeros(len(given), len(given), dtype=torch.float64)
    for start in range(0, d, width):
        length = min(width, d - start)
        for row, into in zip(given, scratch.numpy(), strict=True):
            piece = slice(start, start + length)
            np.subtract(row[piece], origin[piece], out=into[:length], dtype=np.float64)
        scratch[:, length:] = 0
        total += _block_products(scratch, _WIDE_BLOCK)
    symmetric: Matrix = ((total + total.T) / 2).numpy()
    return symmetric, (_WIDE_BLOCK + d / _WIDE_BLOCK + 8) * 2.0**-52


def _in_float32(rows: CheckedRows, firsts: NDArray[np.intp]) -> Matrix:
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


def _block_products(chunk: torch.Tensor, block: int = _BLOCK) -> torch.Tensor:
    """Return the (k, k) float64 inner products of (k, columns) rows, columns a multiple of the block."""
    blocks = chunk.unflatten(1, (-1, block)).transpose(0, 1)
    return torch.bmm(blocks, blocks.transpose(1, 2)).sum(0, dtype=torch.float64)
