"""The passes over the long dimension: chunks that stay in cache, in a fixed order, summed in float64.

The chunk bounds depend on n and d alone and every chunk that is multiplied is first copied to the same aligned scratch
memory, because BLAS may round differently for other shapes and alignments. What is only added up is shared out to
threads, piece by piece; the sums of pieces are added in their order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from btard.aggregation.pieces import Piecework, over_pieces
from btard.aggregation.rows import CheckedRows, magnitude_of, side_by_side

# Products summed in float32 before float64 takes over, in matrix products and in norms: sums of equal terms, which
# sign-like rows produce, lose digits in proportion.
_BLOCK = 1024
_NORM_BLOCK = 256
# Of a few dozen rows so many columns stay in the last cache while they are used several times; fewer make threads wait
# for each other between short calls.
_COLUMNS = 32768
# Multiplications of a matrix product up to which NumPy's BLAS makes it in the thread that asks for it.
_ONE_THREAD = 16 * 16 * 1024
# Outside this range of magnitudes (powers of two) the products of two coordinates are scaled.
_PLAIN_RANGE = 40
# Squared distances from an origin between which no product of two coordinates needs to be scaled.
_LEAST, _MOST = 2.0**-70, 2.0**80


@dataclass(frozen=True)
class Deviations:
    """How n rows lie around an origin o.

    `distance` (n,) float64 holds ||x_i - o||; `imbalance` is ||sum_i b_i (x_i - o)|| for given multipliers b; `norm` is
    ||o||.
    """

    distance: NDArray[np.float64]
    imbalance: float
    norm: float


class ShiftedRows:
    """The rows x_i seen from an origin, d_i = (x_i - origin) / scale_i, produced chunk by chunk, never as a whole."""

    def __init__(
        self, rows: CheckedRows, origin: torch.Tensor, scratch: torch.Tensor | None = None, *, plain: bool = False
    ) -> None:
        """Args: `plain` says that every scale is 1, which otherwise takes a pass over the rows; if it may be wrong, ask
        `are_plain` about the products."""
        self._rows = rows
        self._block = rows.block if rows.block is not None else side_by_side(rows.separate)
        self._origin = origin
        self._width = min(_COLUMNS, -(-rows.dimension // _BLOCK) * _BLOCK)
        self._scratch = torch.empty(len(rows.rows), self._width) if scratch is None else scratch
        self._shrink: torch.Tensor | None = None
        self._told = plain
        if plain:
            self.scale: NDArray[np.float64] = np.ones(len(rows))
            return
        reach = np.maximum(rows.magnitude, magnitude_of(origin))
        _, exponent = np.frexp(reach)
        ordinary = (np.abs(exponent) <= _PLAIN_RANGE) | (reach == 0)
        self.scale = np.where(ordinary, 1.0, np.ldexp(1.0, np.clip(exponent, -126, 126)))
        if not ordinary.all():
            self._shrink = torch.from_numpy(1 / self.scale)[:, None].float()

    @property
    def plain(self) -> bool:
        """Whether every scale is 1."""
        return self._shrink is None

    def seen_from(self, origin: torch.Tensor) -> "ShiftedRows":
        """The same rows seen from another origin, which lies among them; only one of the two can be used at a time."""
        return ShiftedRows(self._rows, origin, self._scratch, plain=self._told)

    def are_plain(self, gram: NDArray[np.float64]) -> bool:
        """Whether these products say that all numbers are finite and every scale is 1. NaN and infinity in a row are
        NaN or infinity in its product with itself."""
        squares = gram.diagonal()
        ordinary = (squares >= _LEAST) & (squares <= _MOST)
        return all(
            is_ordinary or (square == 0 and (row is self._origin or torch.equal(row, self._origin)))
            for is_ordinary, square, row in zip(ordinary, squares, self._rows.rows, strict=True)
        )

    def gram(self) -> NDArray[np.float64]:
        """The (n, n) inner products of the d_i."""
        n = len(self._rows)
        if self._shrink is None and n * n * _BLOCK <= _ONE_THREAD:
            return self._gram_by_pieces()
        total = torch.zeros(n, n, dtype=torch.float64)
        for start, stop in self._bounds():
            chunk = self._load(start, stop, self._origin)
            blocks = chunk.view(n, -1, _BLOCK).transpose(0, 1)
            total += torch.bmm(blocks, blocks.transpose(1, 2)).sum(0, dtype=torch.float64)
        symmetric = (total + total.T) / 2
        return symmetric.numpy()

    def _gram_by_pieces(self) -> NDArray[np.float64]:
        """`gram` of few plain rows, each piece in one thread: threads that share out every product wait for each other
        all the time, which on a busy machine takes ten times as long as the products."""
        n, d, origin = len(self._rows), self._rows.dimension, self._origin.numpy()
        subtract, products = self._subtraction(), np.zeros((-(-d // _COLUMNS), n, n))

        def worker() -> Piecework:
            memory = np.empty(n * _padded(min(_COLUMNS, d)), dtype=np.float32)

            def work(piece: slice) -> None:
                chunk = _padded_chunk(memory, n, piece)
                with np.errstate(invalid="ignore", over="ignore"):  # rows may be anything yet
                    subtract(piece, origin, chunk)
                    blocks = chunk.reshape(n, -1, _BLOCK).transpose(1, 0, 2)
                    products[piece.start // _COLUMNS] = np.matmul(blocks, blocks.transpose(0, 2, 1)).sum(
                        0, dtype=np.float64
                    )

            return work

        over_pieces(d, _COLUMNS, worker)
        total = products.sum(0)
        symmetric: NDArray[np.float64] = (total + total.T) / 2
        return symmetric

    def combine(self, p: NDArray[np.float64], multipliers: NDArray[np.float64]) -> tuple[torch.Tensor, Deviations]:
        """The (d,) float32 value origin + sum_i p_i (x_i - origin) for (n,) coefficients p, and in the same pass what
        `measure` says of the rows seen from it.

        That is worthless unless the rows are `plain` seen from here and from the value.
        """
        if self._shrink is not None:
            return self._combined_in_range(p), Deviations(np.full(len(p), np.inf), np.inf, np.inf)
        n, d, origin = len(self._rows), self._rows.dimension, self._origin.numpy()
        coefficients, factors = p.astype(np.float32), multipliers.astype(np.float32)
        made = torch.empty(d)
        subtract, value, squares = self._subtraction(), made.numpy(), np.zeros((-(-d // _COLUMNS), n + 2))

        def worker() -> Piecework:
            memory = np.empty(n * _padded(min(_COLUMNS, d)), dtype=np.float32)

            def work(piece: slice) -> None:
                chunk, here = _padded_chunk(memory, n, piece), value[piece]
                subtract(piece, origin, chunk)
                # einsum calls no BLAS, which may round differently for other shapes and alignments.
                np.add(np.einsum("i,ij->j", coefficients, chunk)[: len(here)], origin[piece], out=here)
                subtract(piece, value, chunk)
                found = squares[piece.start // _COLUMNS]
                found[:-1], found[-1] = _squares(chunk, factors), np.einsum("j,j->", here, here)

            return work

        over_pieces(d, _COLUMNS, worker)
        roots = np.sqrt(squares.sum(0))
        return made, Deviations(roots[:-2], float(roots[-2]), float(roots[-1]))

    def _subtraction(self) -> Callable[[slice, NDArray[np.float32], NDArray[np.float32]], None]:
        """What writes a piece of all rows minus that of a (d,) vector into the first columns of (n, columns)."""
        block = None if self._block is None else self._block.numpy()
        rows = [row.numpy() for row in self._rows.rows]

        def subtract(piece: slice, origin: NDArray[np.float32], into: NDArray[np.float32]) -> None:
            near, apart = origin[piece], into[:, : piece.stop - piece.start]
            if block is not None:
                np.subtract(block[:, piece], near, out=apart)
                return
            for row, one in zip(rows, apart, strict=True):
                np.subtract(row[piece], near, out=one)

        return subtract

    def _combined_in_range(self, p: NDArray[np.float64]) -> torch.Tensor:
        """Origin and step may be opposite and near 3.4e38, where only half of each, and their sum, are in range."""
        coefficients = torch.from_numpy(p * self.scale * 0.5).float()
        value = torch.empty_like(self._origin)
        for start, stop in self._bounds():
            step = torch.mv(self._load(start, stop, self._origin).T, coefficients)[: stop - start]
            torch.add(step, self._origin[start:stop], alpha=0.5, out=value[start:stop])
        limit = torch.finfo(torch.float32).max / 2
        return value.clamp_(-limit, limit).mul_(2)

    def measure(self, multipliers: NDArray[np.float64]) -> Deviations:
        """The distances from the origin, and the length of the sum of the differences times the (n,) multipliers."""
        factors = (multipliers * self.scale).astype(np.float32)
        squares = np.zeros(len(factors) + 1)
        for start, stop in self._bounds():
            squares += _squares(self._load(start, stop, self._origin).numpy(), factors)
        roots = np.sqrt(squares)
        return Deviations(roots[:-1] * self.scale, float(roots[-1]), _norm(self._origin))

    def _bounds(self) -> Iterator[tuple[int, int]]:
        for start in range(0, self._rows.dimension, self._width):
            yield start, min(start + self._width, self._rows.dimension)

    def _load(self, start: int, stop: int, origin: torch.Tensor) -> torch.Tensor:
        """The d_i of one chunk, from a (d,) origin, in the scratch memory: (n, columns), filled up with zeros to whole
        blocks."""
        columns = -(-(stop - start) // _BLOCK) * _BLOCK
        chunk = self._scratch.view(-1)[: len(self._rows.rows) * columns].view(-1, columns)
        chunk[:, stop - start :] = 0
        target = chunk[:, : stop - start]
        near = origin[start:stop]
        if self._shrink is not None:
            # Scaled before the subtraction, which would overflow for opposite rows near 3.4e38.
            for index, row in enumerate(self._rows.rows):
                torch.mul(row[start:stop], self._shrink[index], out=target[index])
            target.addcmul_(self._shrink, near[None, :], value=-1)
        elif self._block is not None:
            torch.sub(self._block[:, start:stop], near, out=target)
        else:
            for row, into in zip(self._rows.rows, target.unbind(0), strict=True):
                torch.sub(row[start:stop], near, out=into)
        return chunk


def _padded(columns: int) -> int:
    return -(-columns // _BLOCK) * _BLOCK


def _padded_chunk(memory: NDArray[np.float32], n: int, piece: slice) -> NDArray[np.float32]:
    """(n, columns) of the memory for a piece, filled up with zeros to whole blocks."""
    length = piece.stop - piece.start
    chunk = memory[: n * _padded(length)].reshape(n, -1)
    chunk[:, length:] = 0
    return chunk


def _squares(chunk: NDArray[np.float32], factors: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n + 1,): the squared norms of the rows of an (n, columns) chunk, columns a multiple of the block, and of their
    sum times (n,) factors."""
    found = np.empty(len(chunk) + 1)
    blocks = chunk.reshape(len(chunk), -1, _NORM_BLOCK)
    found[:-1] = np.einsum("ijk,ijk->ij", blocks, blocks).sum(1, dtype=np.float64)
    pull = np.einsum("i,ij->j", factors, chunk).reshape(-1, _NORM_BLOCK)
    found[-1] = np.einsum("jk,jk->j", pull, pull).sum(dtype=np.float64)
    return found


def _norm(value: torch.Tensor) -> float:
    whole = len(value) // _BLOCK * _BLOCK
    blocks = torch.linalg.vector_norm(value[:whole].view(-1, _BLOCK), dim=1, dtype=torch.float64)
    rest = torch.linalg.vector_norm(value[whole:], dtype=torch.float64)
    return float((blocks.square().sum() + rest.square()).sqrt())
