"""A boundary as one stage holds it: the stages that send, receive or check there all keep the same of each sample."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import torch

from btard.hashing import tagged_digest
from btard.pipeline.caches.activations import ActivationCache
from btard.pipeline.caches.boundary import check_dims
from btard.pipeline.caches.delta import CachesDiffer, DeltaReceiver, DeltaSender, EntryStore, most_bytes
from btard.pipeline.codecs.codec import Codec
from btard.pipeline.codecs.delta import DeltaCodec
from btard.pipeline.codecs.stateless import Fixpoint, Plain
from btard.pipeline.defence.comparison import ComputationCheck


class SendForm(StrEnum):
    """How a micro-batch is sent at a boundary."""

    PLAIN = "plain"
    """As float32, and nothing is kept: the boundary is there for one attempt."""
    RAW = "raw"
    """Without differences, in the form in which the codec keeps an activation; float32 if it keeps nothing."""
    CODED = "coded"
    """By the codec."""


class ShownEntries:
    """What a third party was shown of a cache, for as long as it checks one micro-batch."""

    def __init__(self, entries: Mapping[int, bytes]) -> None:
        self._entries = dict(entries)

    def get(self, sample: int) -> bytes | None:
        return self._entries.get(sample)

    def stage(self, sample: int, entry: bytes) -> None:
        self._entries[sample] = entry

    def commit(self) -> None:
        pass

    def roll_back(self) -> None:
        pass

    def close(self) -> None:
        self._entries.clear()


class SharedBoundary:
    """One boundary's codec, and what its stages keep.

    Attributes:
        codec: of activations.
    """

    def __init__(self, codec: Codec | DeltaCodec, store: EntryStore | None) -> None:
        """Begin; `store` is None exactly for a codec that keeps nothing."""
        self.codec = codec
        self._store = store
        self._ends = None
        if not isinstance(codec, Codec):
            assert store is not None
            self._ends = DeltaSender(codec, store), DeltaReceiver(codec, store)

    @classmethod
    def open(
        cls, codec: Codec | DeltaCodec, sample_shape: Sequence[int], directory: Path, limit_bytes: int
    ) -> SharedBoundary:
        """Return a boundary with an empty cache; see `boundary.open_sender`."""
        check_dims(codec, sample_shape)
        if isinstance(codec, Codec):
            return cls(codec, None)
        return cls(codec, ActivationCache(directory, codec.entry_size(sample_shape), limit_bytes))

    def encode(
        self, samples: Sequence[int], values: torch.Tensor, seeds: Sequence[int], form: SendForm, *, keep: bool
    ) -> bytes:
        """Return a micro-batch's bytes; see `boundary.BoundarySender`.

        Args:
            form: how it is sent.
            keep: whether what is kept follows; a stage that only compares leaves it.
        """
        if self._ends is None or form is SendForm.PLAIN:
            return self._stateless(form).encode(values, seeds)
        sender, chosen = self._ends[0], samples if form is SendForm.RAW else ()
        return (sender.encode if keep else sender.preview)(samples, values, seeds, chosen)

    def decode(
        self, data: bytes, samples: Sequence[int], shape: Sequence[int], form: SendForm
    ) -> torch.Tensor | CachesDiffer:
        """Return what the next stage computes with; see `boundary.BoundaryReceiver`."""
        if self._ends is None or form is SendForm.PLAIN:
            return self._stateless(form).decode(data, shape)
        return self._ends[1].decode(data, samples, shape)

    def same(
        self,
        own: bytes,
        told: bytes,
        samples: Sequence[int],
        shape: Sequence[int],
        form: SendForm,
        comparison: ComputationCheck,
    ) -> bool:
        """Whether two messages about one micro-batch count as the same computation; raises Malformed."""
        if own == told or comparison.exact:
            return own == told
        if self._ends is None or form is SendForm.PLAIN:
            return stateless_same(self._stateless(form), own, told, shape, comparison)
        receiver = self._ends[1]
        one, other = receiver.preview(own, samples, shape), receiver.preview(told, samples, shape)
        if isinstance(one, CachesDiffer) or isinstance(other, CachesDiffer):
            return False
        return comparison.same(one, other, receiver.spacing(told, shape))

    def kept(self, samples: Sequence[int], form: SendForm) -> bytes:
        """Return a digest of how some samples are sent, and of what is kept of them before."""
        known = self._store if form is SendForm.CODED else None
        entries = [None if known is None else known.get(sample) for sample in samples]
        told = (b"" if entry is None else b"\1" + entry for entry in entries)
        return tagged_digest("btard pipeline kept", form.value.encode(), *told)

    def entries(self, samples: Collection[int]) -> dict[int, bytes]:
        """Return what is kept of some samples, without those that were not seen."""
        found = {} if self._store is None else {sample: self._store.get(sample) for sample in samples}
        return {sample: entry for sample, entry in found.items() if entry is not None}

    def _stateless(self, form: SendForm) -> Codec:
        if form is not SendForm.CODED:
            return Plain()
        assert isinstance(self.codec, Codec)
        return self.codec

    def commit(self) -> None:
        """Keep what crossed the boundary in this step: it counts."""
        if self._store is not None:
            self._store.commit()

    def roll_back(self) -> None:
        """Forget it: there was an alarm."""
        if self._store is not None:
            self._store.roll_back()

    def close(self) -> None:
        """Give memory and disk back."""
        if self._store is not None:
            self._store.close()


def stateless_same(codec: Codec, own: bytes, told: bytes, shape: Sequence[int], comparison: ComputationCheck) -> bool:
    """Whether two messages by a codec that remembers nothing count as the same computation; raises Malformed."""
    if own == told or comparison.exact:
        return own == told
    levels = codec.spacing(told, shape) if isinstance(codec, Fixpoint) else None
    return comparison.same(codec.decode(own, shape), codec.decode(told, shape), levels)


def largest_message(codec: Codec | DeltaCodec, shape: Sequence[int]) -> int:
    """Return how many bytes a micro-batch of this shape takes at most, however it is sent."""
    plain = Plain().wire_size(shape)
    return max(plain, codec.wire_size(shape) if isinstance(codec, Codec) else most_bytes(codec, shape))
