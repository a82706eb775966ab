"""The two ends of a boundary between stages, whatever its codec: what a stage sends and receives through."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

import torch

from btard.errors import UserError
from btard.pipeline.caches.activations import ActivationCache
from btard.pipeline.caches.delta import CachesDiffer, DeltaReceiver, DeltaSender
from btard.pipeline.codecs.codec import Codec, Lossy
from btard.pipeline.codecs.delta import DeltaCodec


class BoundarySender(Protocol):
    """The end of a boundary that sends micro-batches."""

    def encode(
        self, samples: Sequence[int], values: torch.Tensor, seeds: Sequence[int], raw: Collection[int] = ()
    ) -> bytes:
        """Return a micro-batch's bytes.

        Args:
            samples: ids, one for each index of dimension 0.
            values: float32, of shape (samples, ...).
            seeds: `rounding_seed` of each sample.
            raw: samples that are sent raw: all of them after `CachesDiffer`, or where a boundary is new.

        Raises:
            NotFinite: a value is an infinity or a NaN; nothing has changed.
        """

    def preview(
        self, samples: Sequence[int], values: torch.Tensor, seeds: Sequence[int], raw: Collection[int] = ()
    ) -> bytes:
        """Return the same bytes, and change nothing: for a stage that compares them with what it was sent."""

    def commit(self) -> None:
        """Keep what was sent in this step: its result was accepted."""

    def roll_back(self) -> None:
        """Forget it: there was an alarm."""

    def close(self) -> None:
        """Give memory and disk back."""


class BoundaryReceiver(Protocol):
    """The end of a boundary that receives micro-batches; it commits and rolls back with the sender."""

    def decode(
        self, data: bytes | memoryview, samples: Sequence[int], shape: Sequence[int]
    ) -> torch.Tensor | CachesDiffer:
        """Return what the next stage computes with, float32 of the expected shape; or that a raw send is needed.

        Raises:
            Malformed: hostile bytes; nothing has changed.
        """

    def commit(self) -> None:
        """See `BoundarySender`."""

    def roll_back(self) -> None:
        """See `BoundarySender`."""

    def close(self) -> None:
        """See `BoundarySender`."""


class _Stateless:
    """Both ends of a boundary whose codec remembers nothing."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def encode(
        self, samples: Sequence[int], values: torch.Tensor, seeds: Sequence[int], raw: Collection[int] = ()
    ) -> bytes:
        return self._codec.encode(values, seeds)

    def preview(
        self, samples: Sequence[int], values: torch.Tensor, seeds: Sequence[int], raw: Collection[int] = ()
    ) -> bytes:
        return self._codec.encode(values, seeds)

    def decode(self, data: bytes | memoryview, samples: Sequence[int], shape: Sequence[int]) -> torch.Tensor:
        return self._codec.decode(data, shape)

    def commit(self) -> None:
        pass

    def roll_back(self) -> None:
        pass

    def close(self) -> None:
        pass


def open_sender(
    codec: Codec | DeltaCodec, sample_shape: Sequence[int], directory: Path, limit_bytes: int
) -> BoundarySender:
    """Return the sending end of a boundary.

    Args:
        sample_shape: of one sample's activation.
        directory: for the activation cache, if the codec has one.
        limit_bytes: of that cache.

    Raises:
        UserError: the cache cannot be made, or the codec wants dimensions that activations do not have.
    """
    check_dims(codec, sample_shape)
    if isinstance(codec, Codec):
        return _Stateless(codec)
    return DeltaSender(codec, ActivationCache(directory, codec.entry_size(sample_shape), limit_bytes))


def open_receiver(
    codec: Codec | DeltaCodec, sample_shape: Sequence[int], directory: Path, limit_bytes: int
) -> BoundaryReceiver:
    """Return the receiving end of a boundary; see `open_sender`."""
    check_dims(codec, sample_shape)
    if isinstance(codec, Codec):
        return _Stateless(codec)
    return DeltaReceiver(codec, ActivationCache(directory, codec.entry_size(sample_shape), limit_bytes))


def check_dims(codec: Codec | DeltaCodec, sample_shape: Sequence[int]) -> None:
    """Check that activations have the dimensions that a codec wants; raises UserError."""
    if isinstance(codec, Lossy) and max(codec.quantiser.dims) > len(sample_shape):
        raise UserError(
            f"the codec has dims={codec.dims}, but activations here have dimensions 0 to {len(sample_shape)}"
        )


def check_sample_ids(codec: Codec | DeltaCodec, text: str, what: str, *, has_sample_ids: bool) -> None:
    """Check that a codec fits a run's data.

    Args:
        text: as the user wrote the codec.
        what: the flag or setting that holds the text.
        has_sample_ids: whether a sample has an id by which it is known when it comes again.

    Raises:
        UserError: differences are wanted where no sample is known again.
    """
    if not isinstance(codec, Codec) and not has_sample_ids:
        raise UserError(
            f"{what} is {text!r}, but these data are a stream without sample ids, so no sample has an earlier visit to "
            "send the difference from; choose none, fp16 or fixpoint"
        )
