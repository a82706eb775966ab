"""How a flat vector is cut into parts, one an owner, and what its numbers look like on the wire."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch

from btard.hashing import Payload
from btard.tensors import bytes_of
from btard.vocabulary import WireType

_SHORT = 4096
"""Bytes up to which a payload counts as short."""

_DTYPES = {WireType.FLOAT32: torch.float32, WireType.FLOAT16: torch.float16, WireType.BFLOAT16: torch.bfloat16}


def dtype_of(wire: WireType) -> torch.dtype:
    """Return the torch type of numbers as they travel."""
    return _DTYPES[wire]


@dataclass(frozen=True)
class Partition:
    """`count` nearly equal consecutive slices of a vector of `dimension` numbers; the first ones are longer by one."""

    dimension: int
    count: int
    wire: WireType

    def bounds(self, part: int) -> tuple[int, int]:
        """Return the first and the last-plus-one coordinate of a part."""
        return _all_bounds(self.dimension, self.count)[part]

    def length(self, part: int) -> int:
        """Return the bytes of a part on the wire."""
        start, end = self._in_bytes[part]
        return end - start

    @cached_property
    def projection_bounds(self) -> tuple[float, ...]:
        """Bounds on ||z[part]|| that hold whatever was drawn: no number of z is longer than sqrt(3)."""
        return tuple(math.sqrt(3.0 * (end - start)) for start, end in _all_bounds(self.dimension, self.count))

    @cached_property
    def longest_deviations(self) -> tuple[float, ...]:
        """Bounds on the distance of two rows of a part: twice the longest row of the wire type."""
        most = 2.0 * torch.finfo(dtype_of(self.wire)).max
        return tuple(most * math.sqrt(end - start) for start, end in _all_bounds(self.dimension, self.count))

    def view(self, flat: memoryview, part: int) -> memoryview:
        """Return the bytes of a part inside the wire bytes of the whole vector, without a copy."""
        start, end = self._in_bytes[part]
        return flat[start:end]

    @cached_property
    def _in_bytes(self) -> tuple[tuple[int, int], ...]:
        return _bytes_of_parts(self.dimension, self.count, self.wire.size)


# Every part that arrives asks.
@lru_cache(maxsize=16)
def _all_bounds(dimension: int, count: int) -> tuple[tuple[int, int], ...]:
    length, longer = divmod(dimension, count)
    starts = [part * length + min(part, longer) for part in range(count + 1)]
    return tuple(itertools.pairwise(starts))


@lru_cache(maxsize=16)
def _bytes_of_parts(dimension: int, count: int, size: int) -> tuple[tuple[int, int], ...]:
    return tuple((start * size, end * size) for start, end in _all_bounds(dimension, count))


def to_wire(vector: torch.Tensor, wire: WireType) -> memoryview:
    """Return the wire bytes of a float32 vector of shape (d,), without a copy for float32.

    Finite numbers beyond the wire type's range become its largest number, so that encoding never makes an infinity.
    """
    if wire is not WireType.FLOAT32:
        limit = torch.finfo(dtype_of(wire)).max
        finite = torch.isfinite(vector)
        vector = torch.where(finite, vector.clamp(-limit, limit), vector).to(dtype_of(wire))
    return bytes_of(vector)


def from_wire(payload: Payload, wire: WireType) -> torch.Tensor:
    """Return the numbers of wire bytes as a float32 tensor; for float32 it shares the buffer's memory."""
    if len(payload) == 0:
        return torch.empty(0)
    return torch.frombuffer(payload, dtype=dtype_of(wire)).to(torch.float32)


def rows_from_wire(payloads: Sequence[Payload], wire: WireType) -> list[torch.Tensor]:
    """Return `from_wire` of each payload; short ones are copied into one buffer, since a call costs more than they."""
    if sum(map(len, payloads)) > _SHORT * len(payloads):
        return [from_wire(payload, wire) for payload in payloads]
    return list(from_wire(_joined(payloads), wire).split([len(payload) // wire.size for payload in payloads]))


def block_from_wire(payloads: Sequence[Payload], wire: WireType) -> torch.Tensor | list[torch.Tensor]:
    """Return n payloads of one length as one (n, d) float32 tensor if they are short, else as `rows_from_wire` does."""
    length = len(payloads[0])
    if not 0 < length <= _SHORT:
        return rows_from_wire(payloads, wire)
    return from_wire(_joined(payloads), wire).view(len(payloads), length // wire.size)


def _joined(payloads: Sequence[Payload]) -> bytearray:
    return bytearray().join(payloads)
