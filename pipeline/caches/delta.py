"""The two ends of a boundary with a delta codec.

A message holds, for each sample of a micro-batch, whether it comes raw, and a checksum of what the sender keeps of it
from now on. A receiver that comes to another checksum has lost a message, or computes otherwise; it says so, and the
sender sends the micro-batch raw once, after which both keep the same again.

    frame | bit for each sample: raw | 8 bytes for each sample: checksum | codes of the others | float16 of those raw
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from btard.hashing import digest
from btard.identity import Malformed
from btard.pipeline.codecs.codec import frame_size, framed, numbers, unframed
from btard.pipeline.codecs.delta import DeltaCodec
from btard.pipeline.codecs.stateless import as_half

CHECKSUM_BYTES = 8
"""Against accidents: a sender that lies about what it keeps is sent to, or sends, raw for ever."""

_DELTAS = 4
_MOST = torch.finfo(torch.float32).max


@dataclass(frozen=True)
class CachesDiffer:
    """The two sides do not keep the same: the whole micro-batch is to be sent once more, raw.

    Attributes:
        samples: those whose checksums differ, or that the receiver has not seen.
    """

    samples: tuple[int, ...]


class EntryStore(Protocol):
    """What is kept of each sample: `activations.ActivationCache`, or what a third party was shown of one."""

    def get(self, sample: int) -> bytes | None:
        """Return a sample's newest entry; None for one that was not seen."""

    def stage(self, sample: int, entry: bytes) -> None:
        """Remember a sample's entry for this step."""

    def commit(self) -> None:
        """Keep what this step has staged."""

    def roll_back(self) -> None:
        """Forget what this step has staged."""

    def close(self) -> None:
        """Give memory and disk back."""


class DeltaSender:
    """The sending end; see `boundary.BoundarySender`."""

    def __init__(self, codec: DeltaCodec, cache: EntryStore) -> None:
        self._codec = codec
        self._cache = cache

    def encode(
        self, samples: Sequence[int], values: torch.Tensor, seeds: Sequence[int], raw: Collection[int] = ()
    ) -> bytes:
        """See `boundary.BoundarySender`."""
        data, entries = self._written(samples, values, seeds, raw)
        for sample, entry in zip(samples, entries, strict=True):
            self._cache.stage(sample, entry)
        return data

    def preview(
        self, samples: Sequence[int], values: torch.Tensor, seeds: Sequence[int], raw: Collection[int] = ()
    ) -> bytes:
        """See `boundary.BoundarySender`."""
        return self._written(samples, values, seeds, raw)[0]

    def _written(
        self, samples: Sequence[int], values: torch.Tensor, seeds: Sequence[int], raw: Collection[int]
    ) -> tuple[bytes, list[bytes]]:
        """Return a micro-batch's bytes, and what is kept of each sample after it."""
        values = values.detach().float().cpu()
        before = [None if sample in raw else self._cache.get(sample) for sample in samples]
        old = [place for place, entry in enumerate(before) if entry is not None]
        new = [place for place, entry in enumerate(before) if entry is None]
        halves = as_half(values[new])
        activations = torch.empty_like(values)
        activations[new] = halves.float()
        codes = b""
        if old:
            shape = values.shape[1:]
            kept = torch.stack([self._codec.restore(entry, shape) for entry in before if entry is not None])
            chosen = self._codec.chosen([seeds[place] for place in old])
            codes = self._codec.quantiser.encode(_change(values[old], kept), chosen)
            activations[old] = _changed(kept, self._codec.quantiser.decode(codes, kept.shape))
        entries = [self._codec.keep(activation) for activation in activations]
        flags = _flags(new, len(samples))
        payload = b"".join([flags, *map(_checksum, entries), codes, halves.contiguous().numpy().tobytes()])
        return framed(_DELTAS, values.shape, payload), entries

    def commit(self) -> None:
        self._cache.commit()

    def roll_back(self) -> None:
        self._cache.roll_back()

    def close(self) -> None:
        self._cache.close()


class DeltaReceiver:
    """The receiving end; see `boundary.BoundaryReceiver`."""

    def __init__(self, codec: DeltaCodec, cache: EntryStore) -> None:
        self._codec = codec
        self._cache = cache

    def decode(
        self, data: bytes | memoryview, samples: Sequence[int], shape: Sequence[int]
    ) -> torch.Tensor | CachesDiffer:
        """See `boundary.BoundaryReceiver`."""
        found = self._read(data, samples, shape)
        if isinstance(found, CachesDiffer):
            return found
        activations, entries = found
        for sample, entry in zip(samples, entries, strict=True):
            self._cache.stage(sample, entry)
        return activations

    def preview(
        self, data: bytes | memoryview, samples: Sequence[int], shape: Sequence[int]
    ) -> torch.Tensor | CachesDiffer:
        """Return the same, and change nothing; raises Malformed."""
        found = self._read(data, samples, shape)
        return found if isinstance(found, CachesDiffer) else found[0]

    def spacing(self, data: bytes | memoryview, shape: Sequence[int]) -> torch.Tensor:
        """Return how far apart the levels of each entry are, 0 in samples that came raw; raises Malformed."""
        message, levels = _Message.read(data, shape, self._codec), torch.zeros(*shape)
        if message.old:
            levels[message.old] = self._codec.quantiser.spacing(message.codes, (len(message.old), *shape[1:]))
        return levels

    def _read(
        self, data: bytes | memoryview, samples: Sequence[int], shape: Sequence[int]
    ) -> tuple[torch.Tensor, list[bytes]] | CachesDiffer:
        """Return what the next stage computes with, and what is kept of each sample after it."""
        message = _Message.read(data, shape, self._codec)
        before = {place: self._cache.get(samples[place]) for place in message.old}
        unseen = [samples[place] for place, entry in before.items() if entry is None]
        activations = torch.empty(*shape)
        activations[message.new] = message.raw
        if message.old:
            changes = self._codec.quantiser.decode(message.codes, (len(message.old), *shape[1:]))
            if unseen:
                return CachesDiffer(tuple(unseen))
            kept = torch.stack([self._codec.restore(entry, shape[1:]) for entry in before.values() if entry])
            activations[message.old] = _changed(kept, changes)
        entries = [self._codec.keep(activation) for activation in activations]
        wrong = [place for place, entry in enumerate(entries) if _checksum(entry) != message.checksums[place]]
        if set(wrong) & set(message.new):
            raise Malformed("a raw activation contradicts its checksum")
        if wrong:
            return CachesDiffer(tuple(samples[place] for place in wrong))
        now = torch.stack([self._codec.restore(entry, shape[1:]) for entry in entries])
        return self._codec.consumed(activations, now), entries

    def commit(self) -> None:
        self._cache.commit()

    def roll_back(self) -> None:
        self._cache.roll_back()

    def close(self) -> None:
        self._cache.close()


def _change(values: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Return by how much values differ from what is kept, finite where they are."""
    change = values - kept
    if bool(torch.isfinite(change).all()):
        return change
    return change.clamp(-_MOST, _MOST).where(torch.isfinite(values), values)


def _changed(kept: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """Return the sum of two finite tensors, which is finite, too; `kept` is written over."""
    return kept.add_(change).clamp_(-_MOST, _MOST)


@dataclass(frozen=True)
class _Message:
    """A message, cut into its parts; `old` and `new` are places in the micro-batch, those of `new` came raw."""

    old: list[int]
    new: list[int]
    checksums: list[bytes]
    codes: memoryview
    raw: torch.Tensor

    @classmethod
    def read(cls, data: bytes | memoryview, shape: Sequence[int], codec: DeltaCodec) -> _Message:
        """Cut a stranger's bytes; raises Malformed."""
        payload, count = unframed(data, _DELTAS, shape), shape[0]
        head = -(-count // 8)
        flags, body = payload[:head], payload[head + CHECKSUM_BYTES * count :]
        sums = bytes(payload[head : head + CHECKSUM_BYTES * count])
        new = [place for place in range(count) if place // 8 < len(flags) and flags[place // 8] >> place % 8 & 1]
        old = sorted(set(range(count)) - set(new))
        size = codec.quantiser.wire_size((len(old), *shape[1:])) if old else 0
        if bytes(flags) != _flags(new, count) or len(sums) != CHECKSUM_BYTES * count or len(body) < size:
            raise Malformed("not a micro-batch of activations")
        checksums = [sums[at : at + CHECKSUM_BYTES] for at in range(0, len(sums), CHECKSUM_BYTES)]
        raw = numbers(body[size:], (len(new), *shape[1:]), torch.float16)
        return cls(old, new, checksums, body[:size], raw)


def most_bytes(codec: DeltaCodec, shape: Sequence[int]) -> int:
    """Return how many bytes a message about a micro-batch of this shape has at most: all samples raw, and more."""
    head = frame_size(shape) + -(-shape[0] // 8) + CHECKSUM_BYTES * shape[0]
    return head + codec.quantiser.wire_size(shape) + 2 * math.prod(shape)


def _flags(places: Sequence[int], count: int) -> bytes:
    return sum(1 << place for place in places).to_bytes(-(-count // 8), "little")


def _checksum(entry: bytes) -> bytes:
    return digest(entry)[:CHECKSUM_BYTES]
