"""The random direction z of a step, and what a peer measures along it.

z is a vector of d independent numbers, uniform on the 65536 odd multiples of a half between -32768 and 32768, times
the constant that makes their variance 1. They are the 16-bit words, least byte first, of one stream of AES-256 in
counter mode (NIST SP 800-38A), coordinate k at byte 2k, under a key that is hashed from the public randomness and
counters from 0 on: several times faster than a hash that is drawn out. So z depends on the randomness alone, is the
same on every machine (the words and all that is done to them are exact; the constant is one division and one square
root, which IEEE 754 rounds correctly), and any piece of it can be made without the rest. It is never held as a whole
when d is large.

Two facts about such a z carry `scalars`. For any e that was fixed before the randomness, <z, e> has mean 0 and
variance ||e||^2, and P(|<z, e>| > k ||e||) <= 2 exp(-k^2 / 2): a number uniform on those words is a sum of 16
independent signs times powers of two, and a sum of signs has Gaussian tails with its own variance (Hoeffding). And
<z, e> is rarely small: up to the grain of the words its density is at most sqrt(2) / (2 sqrt(3)) / ||e|| (Ball, slices
of the cube), so an error hides below t with a probability of at most 0.82 t / ||e||, whatever its shape. Reusing a
block of numbers with random signs would save a part of the time and void the second fact: errors with a repeated
pattern would often cancel.

Differences and sums are float64: a difference of float32 numbers neither overflows nor loses anything that counts, and
the order of summation, which differs between machines, matters only far below what is judged. On one machine the same
bytes give the same floats, whatever the number of threads: all passes are NumPy's on one thread, since several peers
share a core, and threads that wait for each other for microseconds of work then wait for milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

from btard.hashing import tagged_digest
from btard.vectors.partition import Partition

Vector = NDArray[np.float64]
Scratch = NDArray[np.float32]

# Buffers of this length stay in the second-level cache. Vectors up to this length, and
# batches of rows with no more numbers, are handled in a few calls as a whole instead of piece by piece.
CHUNK = 32768
"""The most numbers that are handled in one go."""

_ZEROS = memoryview(bytes(2 * CHUNK))

PIECE = 128
"""Numbers that are added up in float32, exact enough in whatever order; see `norm_tolerance`."""

_BLOCK_BYTES = 16

# Outside these a float32 square or sum may have overflowed or vanished.
_LEAST, _MOST = 1e-20, 1e36

UNIT = math.sqrt(12 / (2**32 - 1))
"""What the words are multiplied by: w in -32768..32767 stands for (w + 1/2) * UNIT, between -sqrt(3) and sqrt(3)."""


class Measure(NamedTuple):
    """One row against one aggregate: `projection` is <z[part], row - aggregate>, not clipped; `norm` is
    ||row - aggregate||. Both are NaN or infinite when the row or the aggregate has such a number."""

    projection: float
    norm: float


class Projection:
    """Measures vectors along the z of one step. Safe to share between threads: what it caches never changes."""

    def __init__(self, randomness: bytes, partition: Partition) -> None:
        """Prepare z for vectors of `partition.dimension` numbers; takes microseconds.

        `randomness`: the public bytes, 32 in the protocol, that nobody knew when the vectors were committed to.
        """
        self.partition = partition
        self._key = tagged_digest("btard verification direction", randomness)
        self._squares: dict[int, float] = {}

    def direction(self, part: int) -> torch.Tensor:
        """Return z[part] as a whole, (length,) float64; for tests and small vectors."""
        start, stop = self.partition.bounds(part)
        return torch.from_numpy(self._words(start, stop) * UNIT)

    def norm(self, part: int) -> float:
        """Return ||z[part]||; the part of z is made once."""
        if part not in self._squares:
            start, stop = self.partition.bounds(part)
            words = (self._words(at, min(at + CHUNK, stop)) for at in range(start, stop, CHUNK))
            self._squares[part] = sum((_dot(piece, piece) for piece in words), 0.0)
        return UNIT * math.sqrt(self._squares[part])

    def row(self, part: int, row: torch.Tensor, aggregate: torch.Tensor) -> Measure:
        """Return `rows` of one row."""
        return self.rows(part, [row], aggregate)[0]

    @torch.no_grad()
    def rows(self, part: int, rows: Sequence[torch.Tensor], aggregate: torch.Tensor) -> list[Measure]:
        """Measure rows of one part, each (length of the part,) float32, against its aggregate of the same form.

        Raises ValueError for another length. Numbers that are not finite make the measure of their row not finite.
        """
        start, stop = self.partition.bounds(part)
        _check([*rows, aggregate], [stop - start] * (len(rows) + 1))
        if not rows or start == stop:
            return [Measure(0.0, 0.0)] * len(rows)
        if len(rows) * (stop - start) > CHUNK:
            return self._in_chunks(part, rows, aggregate, _scratch(stop - start))
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.subtract(torch.stack(list(rows)).numpy(), aggregate.numpy(), dtype=np.float64)
            projections = np.einsum("ij,j->i", difference, self._words(start, stop)) * UNIT
            norms = np.sqrt(np.einsum("ij,ij->i", difference, difference))
        return [Measure(p, n) for p, n in zip(projections.tolist(), norms.tolist(), strict=True)]

    @torch.no_grad()
    def vector(self, parts: Sequence[torch.Tensor], aggregates: Sequence[torch.Tensor]) -> list[Measure]:
        """Measure one vector, given as all of its parts in order, float32, against all aggregates.

        Raises ValueError for a wrong number of parts or another length of one.
        """
        lengths = self._lengths
        _check(parts, lengths)
        _check(aggregates, lengths)
        if self.partition.dimension > CHUNK:
            scratch = _scratch(lengths[0])
            pairs = zip(parts, aggregates, strict=True)
            return [self._in_chunks(part, [row], near, scratch)[0] for part, (row, near) in enumerate(pairs)]
        row, near = (torch.cat(list(flat)).numpy() for flat in (parts, aggregates))
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.subtract(row, near, dtype=np.float64)
            projections = self._sums(difference * self._words(0, self.partition.dimension)) * UNIT
            norms = np.sqrt(self._sums(difference * difference))
        return [Measure(p, n) for p, n in zip(projections.tolist(), norms.tolist(), strict=True)]

    @torch.no_grad()
    def aggregate_norms(self, aggregates: Sequence[torch.Tensor]) -> list[float]:
        """Return the norm of each part of a vector, float32 parts in order, as `norm_of` does: tolerances need no more.

        Any finite part has a finite norm. Raises ValueError as `vector` does.
        """
        _check(aggregates, self._lengths)
        if self.partition.dimension > CHUNK:
            return [norm_of(part.numpy()) for part in aggregates]
        flat = torch.cat(list(aggregates)).double().numpy()
        with np.errstate(invalid="ignore"):
            norms: list[float] = np.sqrt(self._sums(flat * flat)).tolist()
        return norms

    @cached_property
    def _lengths(self) -> list[int]:
        bounds = (self.partition.bounds(part) for part in range(self.partition.count))
        return [stop - start for start, stop in bounds]

    @cached_property
    def _starts(self) -> NDArray[np.intp]:
        """Where the parts that are not empty begin; the empty ones, if any, are the last."""
        return np.cumsum([0, *(length for length in self._lengths if length)])[:-1]

    @cached_property
    def _head(self) -> Vector:
        """The first words, all of them when the vector is short; simulated peers ask for them again and again."""
        return self._fill(0, np.empty(min(CHUNK, self.partition.dimension)))

    def _sums(self, terms: Vector) -> Vector:
        """Sum (dimension,) numbers within each part: (count,)."""
        sums = np.zeros(self.partition.count)
        if len(terms):
            sums[: len(self._starts)] = np.add.reduceat(terms, self._starts)
        return sums

    def _words(self, start: int, stop: int) -> Vector:
        """The words plus a half of coordinates `start` to `stop`; not to be written to."""
        if stop <= len(self._head):
            return self._head[start:stop]
        return self._fill(start, np.empty(stop - start))

    def _fill(self, start: int, target: Vector) -> Vector:
        words = np.frombuffer(self._stream(start).update(bytes(2 * len(target))), dtype="<i2")
        return np.add(words, 0.5, out=target, dtype=np.float64)

    def _stream(self, start: int) -> CipherContext:
        """Return what turns zeros into the words of coordinate `start` and those that follow."""
        block, before = divmod(2 * start, _BLOCK_BYTES)
        counter = block.to_bytes(_BLOCK_BYTES, "big")
        stream = Cipher(algorithms.AES(self._key), modes.CTR(counter)).encryptor()
        stream.update(bytes(before))
        return stream

    def _in_chunks(
        self, part: int, rows: Sequence[torch.Tensor], aggregate: torch.Tensor, scratch: Scratch
    ) -> list[Measure]:
        """Measure long rows in float32, whose sums of pieces are exact enough, and those that leave its range again."""
        arrays, origin = [row.numpy() for row in rows], aggregate.numpy()
        projections, squares = [0.0] * len(rows), [0.0] * len(rows)
        start, stop = self.partition.bounds(part)
        stream = self._stream(start)
        with np.errstate(invalid="ignore", over="ignore", under="ignore"):
            for low in range(0, stop - start, CHUNK):
                high = min(low + CHUNK, stop - start)
                words, difference = scratch[:, : high - low]
                drawn = np.frombuffer(stream.update(_ZEROS[: 2 * (high - low)]), dtype="<i2")
                np.add(drawn, np.float32(0.5), out=words, dtype=np.float32)
                for index, row in enumerate(arrays):
                    np.subtract(row[low:high], origin[low:high], out=difference)
                    projections[index] += _dot(difference, words)
                    squares[index] += _dot(difference, difference)
        return [
            Measure(UNIT * p, math.sqrt(q)) if _LEAST < q < _MOST else self._in_wide_chunks(part, row, origin)
            for p, q, row in zip(projections, squares, arrays, strict=True)
        ]

    def _in_wide_chunks(self, part: int, row: NDArray[np.float32], origin: NDArray[np.float32]) -> Measure:
        """Measure one long row in float64, whose range no difference of float32 numbers leaves."""
        projection = square = 0.0
        start, stop = self.partition.bounds(part)
        words = np.empty(min(CHUNK, stop - start))
        with np.errstate(invalid="ignore", over="ignore"):
            for low in range(0, stop - start, CHUNK):
                high = min(low + CHUNK, stop - start)
                self._fill(start + low, words[: high - low])
                difference = np.subtract(row[low:high], origin[low:high], dtype=np.float64)
                projection += _dot(difference, words[: high - low])
                square += _dot(difference, difference)
        return Measure(UNIT * projection, math.sqrt(square))


def _scratch(length: int) -> Scratch:
    """Memory for two chunks, one call's own, so that calls in other threads are not disturbed."""
    return np.empty((2, min(CHUNK, length)), dtype=np.float32)


def _dot(one: Vector | NDArray[np.float32], other: Vector | NDArray[np.float32]) -> float:
    whole = len(one) // PIECE
    cut = whole * PIECE
    pieces = np.matmul(one[:cut].reshape(whole, 1, PIECE), other[:cut].reshape(whole, PIECE, 1))
    return float(pieces.sum(dtype=np.float64)) + float(np.dot(one[cut:], other[cut:]))


def length_of(row: torch.Tensor) -> float:
    """Return the norm of a float32 part in float64, to 2^-26: what a sender clips by, and what TOO_LONG is about."""
    return float(torch.linalg.vector_norm(row, dtype=torch.float64))


def norm_of(vector: NDArray[np.float32]) -> float:
    """Return a norm to 2^-18, at a fifth of what `length_of` costs; finite for finite numbers."""
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        square = _dot(vector, vector)
        if not _LEAST < square < _MOST:
            chunks = (vector[low : low + CHUNK].astype(np.float64) for low in range(0, len(vector), CHUNK))
            square = sum((_dot(chunk, chunk) for chunk in chunks), 0.0)
    return math.sqrt(square)


@lru_cache(maxsize=4)
def projection_of(randomness: bytes, partition: Partition) -> Projection:
    """Return the `Projection` of a step; peers simulated in one process share it."""
    return Projection(randomness, partition)


def _check(tensors: Sequence[torch.Tensor], lengths: Sequence[int]) -> None:
    if len(tensors) != len(lengths):
        raise ValueError(f"{len(lengths)} parts are needed, not {len(tensors)}")
    for tensor, length in zip(tensors, lengths, strict=True):
        if tensor.shape != (length,):
            raise ValueError(f"a part must have shape ({length},), not {tuple(tensor.shape)}")
