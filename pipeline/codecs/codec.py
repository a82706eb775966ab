"""What a codec is, and the frame around what it writes."""

from __future__ import annotations

import math
import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from btard.identity import Malformed
from btard.pipeline.codecs.quantiser import LevelGrid, NotFinite, Quantiser, Rounding, ScaleMethod

MOST_DIMENSIONS = 8

__all__ = ["Codec", "Lossy", "NotFinite", "framed", "unframed"]


class Codec(ABC):
    """One way to send tensors from stage to stage. A subclass is a frozen dataclass whose fields are its parameters.

    This class is for codecs that remember nothing; `delta.DeltaCodec` is for the others.
    """

    @abstractmethod
    def encode(self, values: torch.Tensor, seeds: Sequence[int]) -> bytes:
        """Return the bytes of a tensor.

        Args:
            values: float32, dimension 0 being the samples of a micro-batch.
            seeds: `rounding_seed` of each sample; codecs that do not round at random ignore them.

        Raises:
            NotFinite: a value is an infinity or a NaN, and the codec has no bytes for it.
        """

    @abstractmethod
    def decode(self, data: bytes | memoryview, shape: Sequence[int]) -> torch.Tensor:
        """Return what a stranger's bytes stand for, float32 on the CPU; no memory but that of `shape` is set aside.

        Args:
            data: hostile bytes.
            shape: as the stages of the run have agreed on it.

        Raises:
            Malformed: they are not what `encode` writes of a tensor of this shape.
        """

    @abstractmethod
    def wire_size(self, shape: Sequence[int]) -> int:
        """Return how many bytes a tensor of this shape takes."""


@dataclass(frozen=True)
class Lossy:
    """The parameters of a codec with a quantiser."""

    bits: Annotated[int, Field(ge=1, le=8)] = 4
    scale: ScaleMethod = ScaleMethod.MAX
    dims: Annotated[str, Field(pattern="^[0-7]{1,8}$")] = "01"
    """Dimensions over which values share a scale, a digit each."""
    rounding: Rounding = Rounding.STOCHASTIC
    grid: LevelGrid = LevelGrid.SYMMETRIC

    @property
    def quantiser(self) -> Quantiser:
        """What these parameters describe."""
        return Quantiser(self.bits, self.scale, tuple(sorted({int(digit) for digit in self.dims})), self.grid)

    def chosen(self, seeds: Sequence[int]) -> Sequence[int] | None:
        """Return the seeds if they are needed."""
        return seeds if self.rounding is Rounding.STOCHASTIC else None


_HEAD = struct.Struct(">BB")


def frame_size(shape: Sequence[int]) -> int:
    """Return how many bytes `framed` puts before the payload."""
    return _HEAD.size + 4 * len(shape)


def framed(kind: int, shape: Sequence[int], payload: bytes) -> bytes:
    """Return a payload behind a byte for the codec and the shape, so that two that are set up otherwise notice it."""
    return _HEAD.pack(kind, len(shape)) + struct.pack(f">{len(shape)}I", *shape) + payload


def unframed(data: bytes | memoryview, kind: int, shape: Sequence[int]) -> memoryview:
    """Return the payload of a frame; nothing in the frame decides how much memory is taken.

    Raises:
        Malformed: the frame is another codec's, or of another shape.
    """
    expected = framed(kind, shape, b"")
    if len(data) < len(expected) or bytes(data[: len(expected)]) != expected:
        raise Malformed(f"not a tensor of shape {tuple(shape)} by the agreed codec")
    return memoryview(data)[len(expected) :]


def numbers(data: memoryview, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Return plain finite numbers, float32.

    Raises:
        Malformed: another number of bytes, or a number that is not finite.
    """
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise Malformed(f"{len(data)} bytes of numbers where {math.prod(shape) * dtype.itemsize} are expected")
    if not data:
        return torch.empty(*shape)
    values = torch.frombuffer(bytearray(data), dtype=dtype).float().view(*shape)
    if not bool(torch.isfinite(values).all()):
        raise Malformed("a number is not finite")
    return values
