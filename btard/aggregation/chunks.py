"""The passes over the long dimension: chunks that stay in cache, in a fixed order, summed in float64.

The chunk bounds depend on n and d alone and every chunk is first copied to the same aligned scratch memory, because
BLAS may round differently for other shapes and alignments.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from btard.aggregation.rows import CheckedRows, magnitude_of

# Products summed in float32 before float64 takes over, in matrix products and in norms: sums of equal terms, which
# sign-like rows produce, lose digits in proportion.
_BLOCK = 1024
_NORM_BLOCK = 256
# Above torch's grain of 32768 per thread, so that rows in separate buffers still use two threads.
_COLUMNS = 65536
# Outside this range of magnitudes (powers of two) the products of two coordinates are scaled.
_PLAIN_RANGE = 40


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

    def __init__(self, rows: CheckedRows, origin: torch.Tensor, scratch: torch.Tensor | None = None) -> None:
        self._rows = rows
        self._origin = origin
        self._width = min(_COLUMNS, -(-rows.dimension // _BLOCK) * _BLOCK)
        self._scratch = torch.empty(len(rows.rows), self._width) if scratch is None else scratch
        reach = np.maximum(rows.magnitude, magnitude_of(origin))
        _, exponent = np.frexp(reach)
        plain = (np.abs(exponent) <= _PLAIN_RANGE) | (reach == 0)
        self.scale: NDArray[np.float64] = np.where(plain, 1.0, np.ldexp(1.0, np.clip(exponent, -126, 126)))
        self._shrink = None if plain.all() else torch.from_numpy(1 / self.scale)[:, None].float()

    @property
    def plain(self) -> bool:
        """Whether every scale is 1."""
        return self._shrink is None

    def seen_from(self, origin: torch.Tensor) -> "ShiftedRows":
        """The same rows seen from another origin; only one of the two can be used at a time."""
        return ShiftedRows(self._rows, origin, self._scratch)

    def gram(self) -> NDArray[np.float64]:
        """The (n, n) inner products of the d_i."""
        n = len(self._rows.rows)
        total = torch.zeros(n, n, dtype=torch.float64)
        for start, stop in self._bounds():
            chunk = self._load(start, stop, self._origin)
            blocks = chunk.view(n, -1, _BLOCK).transpose(0, 1)
            total += torch.bmm(blocks, blocks.transpose(1, 2)).sum(0, dtype=torch.float64)
        symmetric = (total + total.T) / 2
        return symmetric.numpy()

    def combine(self, p: NDArray[np.float64], multipliers: NDArray[np.float64]) -> tuple[torch.Tensor, Deviations]:
        """The (d,) float32 value origin + sum_i p_i (x_i - origin) for (n,) coefficients p, and in the same pass what
        `measure` says of the rows seen from it.

        That is worthless unless the rows are `plain` seen from here and from the value.
        """
        if self._shrink is not None:
            return self._combined_in_range(p), Deviations(np.full(len(p), np.inf), np.inf, np.inf)
        coefficients, factors = torch.from_numpy(p).float(), torch.from_numpy(multipliers).float()
        value, sums = torch.empty_like(self._origin), _Sums(len(p))
        for start, stop in self._bounds():
            step = torch.mv(self._load(start, stop, self._origin).T, coefficients)[: stop - start]
            torch.add(step, self._origin[start:stop], out=value[start:stop])
            sums.add(self._load(start, stop, value), factors)
        return value, sums.deviations(np.ones(len(p)), value)

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
        factors, sums = torch.from_numpy(multipliers * self.scale).float(), _Sums(len(multipliers))
        for start, stop in self._bounds():
            sums.add(self._load(start, stop, self._origin), factors)
        return sums.deviations(self.scale, self._origin)

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
        elif self._rows.block is not None:
            torch.sub(self._rows.block[:, start:stop], near, out=target)
        else:
            for row, into in zip(self._rows.rows, target.unbind(0), strict=True):
                torch.sub(row[start:stop], near, out=into)
        return chunk


class _Sums:
    """What `Deviations` are the roots of, added up chunk by chunk."""

    def __init__(self, n: int) -> None:
        self._squares = torch.zeros(n + 1, dtype=torch.float64)

    def add(self, chunk: torch.Tensor, factors: torch.Tensor) -> None:
        """Add the columns of an (n, columns) chunk of d_i, whose sum is weighted by (n,) factors."""
        self._squares[:-1] += _squared_norms(chunk)
        self._squares[-1] += _squared_norms(torch.mv(chunk.T, factors)[None, :])[0]

    def deviations(self, scale: NDArray[np.float64], origin: torch.Tensor) -> Deviations:
        """The sums as lengths, in the unit of the rows."""
        roots = self._squares.sqrt().numpy()
        return Deviations(roots[:-1] * scale, float(roots[-1]), _norm(origin))


def _squared_norms(chunk: torch.Tensor) -> torch.Tensor:
    """(n, columns), columns a multiple of the block, to the (n,) float64 squared norms."""
    return torch.linalg.vector_norm(chunk.view(len(chunk), -1, _NORM_BLOCK), dim=2).double().square().sum(1)


def _norm(value: torch.Tensor) -> float:
    whole = len(value) // _BLOCK * _BLOCK
    blocks = torch.linalg.vector_norm(value[:whole].view(-1, _BLOCK), dim=1, dtype=torch.float64)
    rest = torch.linalg.vector_norm(value[whole:], dtype=torch.float64)
    return float((blocks.square().sum() + rest.square()).sqrt())
