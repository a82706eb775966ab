"""Codecs that send how an activation differs from what both sides keep of the sample's last visit.

Wang et al. (2022), algorithm 1. As training settles the differences shrink, and the same number of bits errs less and
less. What is kept lives in `btard.pipeline.caches`; here is what it is made of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

import torch
from pydantic import Field

from btard.pipeline.codecs.codec import Lossy
from btard.pipeline.codecs.quantiser import LevelGrid, Quantiser, ScaleMethod
from btard.pipeline.codecs.stateless import as_half


class DeltaCodec(Protocol):
    """A quantiser for differences, and the form in which one sample's activation is kept.

    Both sides compute what they keep by the same operations, of which each is exact by IEEE 754 or in integers.
    """

    @property
    def quantiser(self) -> Quantiser:
        """For differences; `dims` count the samples of a micro-batch as dimension 0."""

    def chosen(self, seeds: Sequence[int]) -> Sequence[int] | None:
        """Return the seeds if differences are rounded at random."""

    def entry_size(self, shape: Sequence[int]) -> int:
        """Return the bytes in which an activation of one sample, of this shape, is kept."""

    def keep(self, activation: torch.Tensor) -> bytes:
        """Return what is kept of one sample's activation, float32."""

    def restore(self, entry: bytes, shape: Sequence[int]) -> torch.Tensor:
        """Return the activation that was kept, float32."""

    def consumed(self, activation: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Return what the next stage computes with: the sum of what was kept and what came, or what is kept now."""


@dataclass(frozen=True)
class Delta(Lossy):
    """`delta`: activations are kept in float16, and the next stage computes with exactly what is kept."""

    def entry_size(self, shape: Sequence[int]) -> int:
        return 2 * math.prod(shape)

    def keep(self, activation: torch.Tensor) -> bytes:
        return as_half(activation).cpu().contiguous().numpy().tobytes()

    def restore(self, entry: bytes, shape: Sequence[int]) -> torch.Tensor:
        return torch.frombuffer(bytearray(entry), dtype=torch.float16).float().view(*shape)

    def consumed(self, activation: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        return kept


@dataclass(frozen=True)
class DeltaLowbits(Lossy):
    """`delta_lowbits`: they are kept in `cache_bits` bits, with a scale for each sample and channel.

    The next stage computes with the sum before it is quantised for keeping, so only the differences' error enters.
    """

    cache_bits: Annotated[int, Field(ge=2, le=8)] = 8

    def entry_size(self, shape: Sequence[int]) -> int:
        return self._cache(shape).wire_size(shape)

    def keep(self, activation: torch.Tensor) -> bytes:
        return self._cache(activation.shape).encode(activation)

    def restore(self, entry: bytes, shape: Sequence[int]) -> torch.Tensor:
        return self._cache(shape).decode(entry, shape)

    def consumed(self, activation: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        return activation

    def _cache(self, shape: Sequence[int]) -> Quantiser:
        return Quantiser(self.cache_bits, ScaleMethod.MAX, tuple(range(max(1, len(shape) - 1))), LevelGrid.SYMMETRIC)
