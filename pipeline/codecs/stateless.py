"""Codecs that remember nothing: plain numbers, and the quantiser on the numbers themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from btard.pipeline.codecs.codec import Codec, Lossy, NotFinite, frame_size, framed, numbers, unframed

_PLAIN, _HALF, _CODES = 1, 2, 3
_MOST_HALF = 65504.0


def as_half(values: torch.Tensor) -> torch.Tensor:
    """Return values as float16; those beyond its range become the largest that it has.

    Raises:
        NotFinite: a value is an infinity or a NaN.
    """
    if not bool(torch.isfinite(values).all()):
        raise NotFinite("a value to be sent is not finite")
    return values.detach().clamp(-_MOST_HALF, _MOST_HALF).half()


@dataclass(frozen=True)
class Plain(Codec):
    """`none`: float32 as it is."""

    def encode(self, values: torch.Tensor, seeds: Sequence[int]) -> bytes:
        if not bool(torch.isfinite(values).all()):
            raise NotFinite("a value to be sent is not finite")
        return framed(_PLAIN, values.shape, values.detach().float().cpu().contiguous().numpy().tobytes())

    def decode(self, data: bytes | memoryview, shape: Sequence[int]) -> torch.Tensor:
        return numbers(unframed(data, _PLAIN, shape), shape, torch.float32)

    def wire_size(self, shape: Sequence[int]) -> int:
        return frame_size(shape) + 4 * math.prod(shape)


@dataclass(frozen=True)
class Fp16(Codec):
    """`fp16`: half the bytes; beyond 65504 values are clipped."""

    def encode(self, values: torch.Tensor, seeds: Sequence[int]) -> bytes:
        return framed(_HALF, values.shape, as_half(values).cpu().contiguous().numpy().tobytes())

    def decode(self, data: bytes | memoryview, shape: Sequence[int]) -> torch.Tensor:
        return numbers(unframed(data, _HALF, shape), shape, torch.float16)

    def wire_size(self, shape: Sequence[int]) -> int:
        return frame_size(shape) + 2 * math.prod(shape)


@dataclass(frozen=True)
class Fixpoint(Lossy, Codec):
    """`fixpoint`: the quantiser on the values, for gradients and as the baseline of delta codecs."""

    def encode(self, values: torch.Tensor, seeds: Sequence[int]) -> bytes:
        return framed(_CODES, values.shape, self.quantiser.encode(values, self.chosen(seeds)))

    def decode(self, data: bytes | memoryview, shape: Sequence[int]) -> torch.Tensor:
        return self.quantiser.decode(unframed(data, _CODES, shape), shape)

    def wire_size(self, shape: Sequence[int]) -> int:
        return frame_size(shape) + self.quantiser.wire_size(shape)

    def spacing(self, data: bytes | memoryview, shape: Sequence[int]) -> torch.Tensor:
        """Return how far apart the levels of each entry are, of bytes that `decode` takes; float32 of `shape`."""
        return self.quantiser.spacing(unframed(data, _CODES, shape), shape)
