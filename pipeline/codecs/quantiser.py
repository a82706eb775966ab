"""From tensors to codes of 1 to 8 bits with shared scales, and back.

Wang et al., 'Fine-tuning Language Models over Slow Networks using Activation Compression with Guarantees' (2022), use
such a quantiser for activations and gradients between stages. Ours differs where theirs is biased: see `LevelGrid`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import torch

from btard.identity import Malformed
from btard.pipeline.codecs.packing import pack, packed_size, padded, unpack
from btard.pipeline.codecs.rounding import UNIFORM_BITS, counters, draw_into

_CHUNK = 1 << 16
"""Elements that are worked on at a time, about: what is needed of them stays in a core's cache."""

_LEAST = 2.0**-100
"""A scale below this is zero: a number of levels divided by it must be finite."""

_MOST_BFLOAT16, _HALF = 0x7F7F << 16, 1 << 23
"""The bits of the largest scale, and what is taken from them for half of it: with 1 bit a step is two scales long."""

_LARGEST = 2.0**127
"""A scale from here on may have been rounded down, since there is none above it."""

_INTEGERS = 1.5 * 2**23
"""A float32 this large has no fraction: adding it rounds, half to even, and leaves an integer in its last bits."""

_MOST_FLOAT16 = 65504.0
_LEGACY_EPSILON = 1e-6
SCALE_BYTES = 2


class ScaleMethod(StrEnum):
    """What the outermost levels stand for, of the values that share a scale."""

    MAX = "max"
    """The largest absolute value."""
    L2 = "l2"
    """Twice the root mean square, which 95 % of normal values stay below; the others are clipped."""


class LevelGrid(StrEnum):
    """Which levels the codes stand for."""

    SYMMETRIC = "symmetric"
    """From -s to s in 2^bits - 2 equal steps, so that zero is a level and s is one (with 1 bit only -s and s). Scales
    are bfloat16, rounded up: their range is that of float32."""
    LEGACY = "legacy"
    """From -s to s - s / 2^(bits-1) in 2^bits - 1 steps, as published: s is a whole step off. Scales are float16, at
    most 65504, so that larger values are clipped."""


class Rounding(StrEnum):
    """To which of the two levels beside it a value goes."""

    NEAREST = "nearest"
    """The nearer one; of two that are as near, the one with the even code."""
    STOCHASTIC = "stochastic"
    """The nearer, the more probable: on average the value itself, to 2^-16 of a step. A seed fixes it."""


class NotFinite(ValueError):
    """An activation or a gradient that is to be sent holds an infinity or a NaN."""


class _Levels(NamedTuple):
    """`top`: the highest code; `zero`: the code of value 0, perhaps between two; `per_scale`: steps from there to s."""

    top: int
    zero: float
    per_scale: float


@dataclass(frozen=True)
class Quantiser:
    """A quantiser with codes of `bits` bits.

    Attributes:
        bits: 1 to 8.
        scale: what a scale is.
        dims: dimensions over which values share one. (0, 1), batch and sequence, gives one for each channel.
        grid: the levels.
    """

    bits: int
    scale: ScaleMethod = ScaleMethod.MAX
    dims: tuple[int, ...] = (0, 1)
    grid: LevelGrid = LevelGrid.SYMMETRIC

    def wire_size(self, shape: Sequence[int]) -> int:
        """Return the bytes of a tensor of this shape: its scales, then its codes."""
        return SCALE_BYTES * math.prod(self._scale_shape(shape)) + packed_size(math.prod(shape), self.bits)

    def encode(self, values: torch.Tensor, seeds: Sequence[int] | None = None) -> bytes:
        """Return a tensor's bytes, `wire_size` of them.

        Args:
            values: float32, with as many dimensions as `dims` need, not empty.
            seeds: one for each index of dimension 0, for stochastic rounding; None rounds to the nearest level.

        Raises:
            NotFinite: a value is an infinity or a NaN.
        """
        values = values.detach().float().contiguous()
        wire = self._to_wire(self._scales(values))
        codes = self._codes(values, self._from_wire(wire), seeds)
        return b"".join(part.cpu().numpy().tobytes() for part in (wire, pack(codes, self.bits)))

    def decode(self, data: bytes | memoryview, shape: Sequence[int]) -> torch.Tensor:
        """Return the tensor that a stranger's bytes stand for, float32 of the expected shape, on the CPU.

        Raises:
            Malformed: another number of bytes, a scale that is negative or not finite, a code that is no level.
        """
        if len(data) != self.wire_size(shape):
            raise Malformed(f"{len(data)} bytes of codes where {self.wire_size(shape)} are expected")
        count, scale_shape = math.prod(shape), self._scale_shape(shape)
        whole = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        head = SCALE_BYTES * math.prod(scale_shape)
        scales, levels = self._from_wire(whole[:head].view(torch.int16).view(scale_shape)), self._levels
        steps = scales / levels.per_scale
        if not bool((torch.isfinite(steps) & ~torch.signbit(steps)).all()):
            raise Malformed("a scale is negative, too large or not finite")
        codes = unpack(whole[head:].clone(), self.bits, count)
        if levels.top < (1 << self.bits) - 1 and int(codes.max()) > levels.top:
            raise Malformed("a code is no level")
        result = torch.empty(*shape, dtype=torch.float32)
        flat, width = result.view(-1, shape[-1]), shape[-1]
        steps = self._by_row(steps, shape)
        rows = max(1, _CHUNK // width)
        coded = codes[:count].view(-1, width)
        for first in range(0, len(flat), rows):
            part = flat[first : first + rows].copy_(coded[first : first + rows])
            part.sub_(levels.zero).mul_(steps if len(steps) == 1 else steps[first : first + rows])
        return result

    def spacing(self, data: bytes | memoryview, shape: Sequence[int]) -> torch.Tensor:
        """Return how far apart the levels of each entry are, float32 of `shape`, of bytes that `decode` takes."""
        scale_shape = self._scale_shape(shape)
        head = bytearray(data[: SCALE_BYTES * math.prod(scale_shape)])
        scales = self._from_wire(torch.frombuffer(head, dtype=torch.int16).view(scale_shape))
        return (scales / self._levels.per_scale).expand(*shape)

    @property
    def _levels(self) -> _Levels:
        if self.grid is LevelGrid.LEGACY:
            half = 1 << (self.bits - 1)
            return _Levels(2 * half - 1, float(half), float(half))
        top = (1 << self.bits) - 2 or 1
        return _Levels(top, top / 2, top / 2)

    def _scale_shape(self, shape: Sequence[int]) -> list[int]:
        if any(dim >= len(shape) for dim in self.dims):
            raise ValueError(f"scales over dimensions {self.dims} of a tensor of {len(shape)}")
        return [1 if dim in self.dims else size for dim, size in enumerate(shape)]

    def _scales(self, values: torch.Tensor) -> torch.Tensor:
        """Return what the scales would be with all bits of float32; NaN and infinity where the values have them."""
        self._scale_shape(values.shape)
        match self.scale:
            case ScaleMethod.MAX:
                found = self._largest(values).view(self._scale_shape(values.shape))
            case ScaleMethod.L2:
                count = math.prod(values.shape[dim] for dim in self.dims)
                norm = torch.linalg.vector_norm(values, dim=self.dims, keepdim=True, dtype=torch.float64)
                found = norm * (2 / math.sqrt(count))
        if not bool(torch.isfinite(found).all()):
            raise NotFinite("a value to be sent is not finite")
        return found.clamp(max=torch.finfo(torch.float32).max).float().abs()  # of -0 and 0 the larger may be -0

    def _largest(self, values: torch.Tensor) -> torch.Tensor:
        """Return the largest absolute value of those that share a scale."""
        if self.dims != tuple(range(values.dim() - 1)):
            return torch.maximum(-values.amin(self.dims, keepdim=True), values.amax(self.dims, keepdim=True))
        width = values.shape[-1]
        largest = torch.zeros(width, device=values.device)
        for chunk in values.view(-1, width).split(max(1, _CHUNK // width)):
            largest = torch.maximum(largest, torch.maximum(-chunk.amin(0), chunk.amax(0)))
        return largest

    def _to_wire(self, scales: torch.Tensor) -> torch.Tensor:
        """Return scales as the 16 bits that travel, int16."""
        if self.grid is LevelGrid.LEGACY:
            return scales.clamp(max=_MOST_FLOAT16).half().view(torch.int16)
        bits = scales.where(scales >= _LEAST, 0.0).view(torch.int32)
        most = _MOST_BFLOAT16 if self._levels.per_scale >= 1 else _MOST_BFLOAT16 - _HALF
        return ((bits + 0xFFFF) & -0x10000).clamp_(max=most).bitwise_right_shift_(16).to(torch.int16)

    def _from_wire(self, wire: torch.Tensor) -> torch.Tensor:
        return wire.view(torch.float16 if self.grid is LevelGrid.LEGACY else torch.bfloat16).float()

    def _inverse(self, scales: torch.Tensor) -> torch.Tensor:
        """Return by what values are multiplied to be counted in steps."""
        if self.grid is LevelGrid.LEGACY:
            return self._levels.per_scale / (scales + _LEGACY_EPSILON)
        return torch.where(scales > 0, self._levels.per_scale / scales, 0.0)

    def _by_row(self, scales: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """Return scales as a matrix of one row, or of one for each row of the values."""
        if all(size == 1 for size in scales.shape[:-1]):
            return scales.reshape(1, -1)
        return scales.expand(*shape[:-1], scales.shape[-1]).reshape(-1, scales.shape[-1])

    def _codes(self, values: torch.Tensor, scales: torch.Tensor, seeds: Sequence[int] | None) -> torch.Tensor:
        """Return the codes, uint8 of shape (padded(count),)."""
        levels, width = self._levels, values.shape[-1]
        codes = torch.empty(padded(values.numel()), dtype=torch.uint8, device=values.device)
        codes[values.numel() :] = 0
        coded, flat = codes[: values.numel()].view(-1, width), values.view(-1, width)
        inverse = self._by_row(self._inverse(scales), values.shape)
        samples = len(seeds) if seeds is not None else 1
        if len(flat) % samples or (seeds is not None and samples != (len(values) if values.dim() > 1 else 1)):
            raise ValueError(f"{samples} seeds for {len(values)} samples")
        each = len(flat) // samples
        rows = min(each, max(1, _CHUNK // width))
        counted = torch.empty((rows, width), device=values.device)
        # Of a scale that is a maximum no value is too large, but for the largest scale and what a draw adds.
        largest = _LARGEST * min(1.0, levels.per_scale)
        exact = self.grid is LevelGrid.SYMMETRIC and self.scale is ScaleMethod.MAX and float(scales.max()) < largest
        clips = seeds is not None or not exact
        dice = None if seeds is None else _Dice(rows * width, values.device)
        for first in (sample * each + row for sample in range(samples) for row in range(0, each, rows)):
            last = min(first + rows, (first // each + 1) * each)
            part = torch.mul(
                flat[first:last], inverse if len(inverse) == 1 else inverse[first:last], out=counted[: last - first]
            )
            if clips:
                part.clamp_(-levels.zero, levels.top - levels.zero)
            if dice is not None and seeds is not None:
                dice.throw(part.add_(levels.zero).view(-1), seeds[first // each], first % each * width)
                part.add_(_INTEGERS)
            elif levels.zero.is_integer():
                part.add_(_INTEGERS + levels.zero)
            else:
                part.add_(levels.zero).add_(_INTEGERS)
            coded[first:last].copy_(part.view(torch.int32))  # the lowest byte
        return codes


class _Dice:
    """What stochastic rounding needs for each chunk, made once."""

    def __init__(self, count: int, device: torch.device) -> None:
        self._counted = counters(count, device)
        self._drawn = torch.empty(count, dtype=torch.int32, device=device)
        self._scratch = torch.empty_like(self._drawn)
        self._uniform = torch.empty(count, device=device)

    def throw(self, steps: torch.Tensor, seed: int, first: int) -> None:
        """Round values, counted in steps, up or down; `first` is the place of the first one in its sample."""
        size = len(steps)
        drawn = draw_into(self._drawn[:size], self._scratch[:size], self._counted, seed, first)
        steps.add_(self._uniform[:size].copy_(drawn).mul_(2.0**-UNIFORM_BITS)).floor_()
