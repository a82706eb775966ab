"""The distances of all pairs of rows by one matrix product, each with the most by which it may be off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from btard.aggregation.distance.ordered import squares_between
from btard.aggregation.rows import CheckedRows, Rows, check_rows, formed_rows, magnitude_of, side_by_side

Matrix = NDArray[np.float64]

_BLOCK = 128
"""The most products that a matrix product sums in float32: many make the bound wide, few the products slow."""

_GROUP = 16
"""Matrix products that are added in float32 before float64 takes over."""

_LEAST, _MOST = 2.0**-80, 2.0**100
"""Squared lengths between which products of float32 numbers neither overflow nor lose digits that count."""

_COLUMNS = 64 * _BLOCK
"""Of rows in separate buffers, which are copied together chunk by chunk."""

_BLOCK_COLUMNS = 512 * _BLOCK
"""Of rows in one buffer: the products of so many columns stay in cache until they are summed."""

_WIDE_COLUMNS = 16384
"""Likewise in float64, where so many products are summed in a row."""


@dataclass(frozen=True)
class Distances:
    """Between n rows.

    Attributes:
        rows: the rows, of which every number is finite.
        squared: (n, n) float64, symmetric, zero on the diagonal.
        slack: (n, n) float64: the most by which each is off; 0 where it has the same bits on every machine.
        precise: (n, n) bool: whether each was measured in float64, which leaves little slack.
    """

    rows: CheckedRows
    squared: Matrix
    slack: Matrix
    precise: NDArray[np.bool_]

    @property
    def bounds(self) -> tuple[Matrix, Matrix]:
        """Below and above every squared distance."""
        return np.maximum(self.squared - self.slack, 0.0), self.squared + self.slack

    def refined(self, pairs: Sequence[tuple[int, int]]) -> Self:
        """Return them with these pairs of rows, and all others of each first one, measured in float64 or, if these
        were, with the pairs measured in one order."""
        rough = {a for a, b in pairs if self.slack[a, b] > 0 and not self.precise[a, b]}
        squared, slack, precise = self.squared.copy(), self.slack.copy(), self.precise.copy()
        firsts = self.rows.firsts
        if rough:
            some = sorted({int(firsts[a]) for a in rough})
            for place, found, off in zip(some, *_in_float64(self.rows, some), strict=True):
                # What has been measured in one order stays.
                for same in np.flatnonzero(firsts == place).tolist():
                    better = slack[same] > 0
                    squared[same, better] = squared[better, same] = found[better]
                    slack[same, better] = slack[better, same] = off[better]
                    precise[same] = precise[:, same] = True
            return type(self)(self.rows, squared, slack, precise)
        ordered = {(min(firsts[a], firsts[b]), max(firsts[a], firsts[b])) for a, b in pairs}
        wanted = sorted((int(a), int(b)) for a, b in ordered if slack[a, b] > 0)
        for (a, b), exact in zip(wanted, squares_between(self.rows, wanted).tolist(), strict=True):
            both = np.ix_(firsts == a, firsts == b)
            squared[both], squared.T[both] = exact, exact
            slack[both], slack.T[both] = 0.0, 0.0
        return type(self)(self.rows, squared, slack, precise)


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
        every = range(len(check_rows(rows)))
        open_ = np.full((len(every), len(every)), np.inf)
        np.fill_diagonal(open_, 0.0)
        unknown = Distances(formed, np.zeros_like(open_), open_, np.zeros_like(open_, dtype=np.bool_))
        return unknown.refined([(a, b) for a in every for b in every])
    return Distances(formed, *_expanded(formed, products), np.zeros((len(formed), len(formed)), dtype=np.bool_))


def _expanded(rows: CheckedRows, products: Matrix) -> tuple[Matrix, Matrix]:
    """Return the (n, n) squared distances and their slack, from the products of rows in different places."""
    squares = products.diagonal()
    sums = np.add.outer(squares, squares)
    squared, slack = np.maximum(sums - 2 * products, 0.0), 2 * _rounding(len(squares)) * sums
    np.fill_diagonal(squared, 0.0)
    np.fill_diagonal(slack, 0.0)
    _, places = np.unique(rows.firsts, return_inverse=True)
    whole = np.ix_(places, places)
    return squared[whole], slack[whole]


def _in_float64(rows: CheckedRows, some: Sequence[int]) -> tuple[Matrix, Matrix]:
    """Return (k, n) the squared distances of k different rows from all, and their slack.

    The rows are seen from the first of the k: those that lie far from zero then lose no digits.
    """
    firsts, places = np.unique(rows.firsts, return_inverse=True)
    given, d = [rows.rows[first] for first in firsts], rows.dimension
    chosen = torch.from_numpy(np.searchsorted(firsts, some))
    origin = rows.rows[some[0]]
    width = min(_WIDE_COLUMNS, d)
    memory = torch.empty(len(given), width, dtype=torch.float64)
    products = torch.zeros(len(some), len(given), dtype=torch.float64)
    squares = torch.zeros(len(given), dtype=torch.float64)
    for start in range(0, d, width):
        stop = min(start + width, d)
        chunk = memory[:, : stop - start]
        for row, into in zip(given, chunk.unbind(0), strict=True):
            into.copy_(row[start:stop])
        chunk -= origin[start:stop].double()
        products.addmm_(chunk[chosen], chunk.T)
        squares += torch.linalg.vector_norm(chunk, dim=1).square()
    sums = (squares[chosen][:, None] + squares).numpy()
    squared = np.maximum(sums - 2 * products.numpy(), 0.0)
    # Products are off by the terms that are summed, twice over; sums of the two squares bound twice the product.
    slack = 2 * (2 * _WIDE_COLUMNS + d / _WIDE_COLUMNS + 8) * 2.0**-53 * sums
    squared[torch.arange(len(some)), chosen] = slack[torch.arange(len(some)), chosen] = 0.0
    return squared[:, places], slack[:, places]


def _in_float32(rows: CheckedRows, firsts: NDArray[np.intp]) -> Matrix:
    """Return the (k, k) inner products of the k rows at the given positions."""
    k, d = len(firsts), rows.dimension
    block = _summed(k)
    products = _Products(k, block, min(_BLOCK_COLUMNS, d + block))
    whole = 0
    given = [rows.rows[first] for first in firsts]
    together = side_by_side(given)
    if together is not None:
        whole = d // block * block
        for start in range(0, whole, _BLOCK_COLUMNS):
            products.add(together[:, start : min(start + _BLOCK_COLUMNS, whole)])
    scratch = torch.empty(k, min(_COLUMNS, -(-(d - whole) // block) * block))
    for start in range(whole, d, _COLUMNS):
        stop = min(start + _COLUMNS, d)
        chunk = scratch[:, : -(-(stop - start) // block) * block]
        for row, into in zip(given, chunk.unbind(0), strict=True):
            into[: stop - start].copy_(row[start:stop])
        chunk[:, stop - start :] = 0
        products.add(chunk)
    symmetric: Matrix = ((products.total + products.total.T) / 2).numpy()
    return symmetric


def _summed(k: int) -> int:
    """Return how many products a matrix product of k rows sums: the fewer rows, the fewer, since what it leaves, k
    numbers for so many of each row, is to be small beside the rows."""
    return 32 if k <= 16 else 64 if k <= 32 else _BLOCK


def _rounding(k: int) -> float:
    """Return the most by which a product of two of k rows is off, as a share of the sum of the absolute values of its
    terms: 2^-24 for each term of a block, each block of a group, and one more for what is of second order."""
    return (_summed(k) + _GROUP + 1) * 2.0**-24


class _Products:
    """Adds up the inner products of k rows, chunk by chunk, in memory that is used again: fresh memory costs more than
    what is written into it."""

    def __init__(self, k: int, block: int, columns: int) -> None:
        count = -(-columns // block)
        self._block = block
        self._products, self._groups = torch.empty(count, k, k), torch.empty(count // _GROUP, k, k)
        self.total = torch.zeros(k, k, dtype=torch.float64)

    def add(self, chunk: torch.Tensor) -> None:
        """Add those of (k, columns), columns a multiple of the block."""
        blocks = chunk.unflatten(1, (-1, self._block)).transpose(0, 1)
        products = torch.bmm(blocks, blocks.transpose(1, 2), out=self._products[: len(blocks)])
        grouped = len(products) // _GROUP
        whole, rest = products[: grouped * _GROUP].unflatten(0, (-1, _GROUP)), products[grouped * _GROUP :]
        self.total += torch.sum(whole, 1, out=self._groups[:grouped]).sum(0, dtype=torch.float64)
        self.total += rest.sum(0, dtype=torch.float64)
