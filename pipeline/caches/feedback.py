"""The mean of gradients in few bits, among replicas of a stage that trust each other.

Each replica owns a shard. It gets that shard of every replica, averages them and sends the mean to all, and both ways
are quantised. What quantising takes away is added to what is sent next (Seide et al., 2014; for both ways, Tang et al.,
'1-bit Adam', 2021), so that nothing is lost for good, and rounding to the nearest level will do.

A mean believes everybody: among strangers, gradients go through the protocol's rules.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from btard.pipeline.codecs.quantiser import Quantiser

BUCKET = 512
"""Numbers that share a scale."""


class ErrorFeedback:
    """A quantiser for a stream of vectors that makes up for its errors."""

    def __init__(self, bits: int, size: int) -> None:
        """Begin without error; vectors have `size` numbers and codes `bits` bits, 2 to 8."""
        self._quantiser = Quantiser(bits, dims=(1,))
        self._size = size
        self._error = torch.zeros(size)
        self._next = self._error

    def encode(self, vector: torch.Tensor) -> bytes:
        """Return the bytes of a vector, float32 of shape (size,), and of the error so far; raises NotFinite."""
        wanted = vector.detach().float().cpu() + self._error
        buckets = torch.zeros(self._shape)
        buckets.view(-1)[: self._size] = wanted
        data = self._quantiser.encode(buckets)
        self._next = wanted - self.decode(data)
        return data

    def decode(self, data: bytes | memoryview) -> torch.Tensor:
        """Return the vector that a replica's bytes stand for, float32 of shape (size,); raises Malformed."""
        return self._quantiser.decode(data, self._shape).view(-1)[: self._size]

    def commit(self) -> None:
        """The step counts: what its bytes left out is sent with the next ones."""
        self._error = self._next

    def roll_back(self) -> None:
        """It does not: forget what its bytes left out."""
        self._next = self._error

    @property
    def _shape(self) -> tuple[int, int]:
        return -(-self._size // BUCKET), BUCKET


class ShardedMean:
    """One replica's part in the mean of all."""

    def __init__(self, bits: int, size: int, replicas: int, own: int) -> None:
        """Begin without error.

        Args:
            bits: of a code, 2 to 8.
            size: numbers of a gradient, at least one for each replica.
            replicas: how many there are.
            own: place of this one, whose shard it owns.
        """
        bounds = [size * place // replicas for place in range(replicas + 1)]
        self._lengths = [end - start for start, end in itertools.pairwise(bounds)]
        self._outgoing = [ErrorFeedback(bits, length) for length in self._lengths]
        self._mean = ErrorFeedback(bits, self._lengths[own])
        self._own = own

    def shards(self, gradient: torch.Tensor) -> list[bytes]:
        """Return what each replica gets of a gradient, float32 of shape (size,); raises NotFinite."""
        parts = gradient.split(self._lengths)
        return [feedback.encode(part) for feedback, part in zip(self._outgoing, parts, strict=True)]

    def mean(self, received: Sequence[bytes]) -> bytes:
        """Return what all replicas get of the own shard: its mean over what they have sent, in their order.

        Raises:
            Malformed: bytes that no replica writes.
        """
        decoded = [self._mean.decode(data) for data in received]
        return self._mean.encode(torch.stack(decoded).mean(0))

    def gradient(self, means: Sequence[bytes]) -> torch.Tensor:
        """Return the mean gradient, the same at every replica: float32 of shape (size,); raises Malformed."""
        return torch.cat([feedback.decode(data) for feedback, data in zip(self._outgoing, means, strict=True)])

    def commit(self) -> None:
        """See `ErrorFeedback`."""
        for feedback in (*self._outgoing, self._mean):
            feedback.commit()

    def roll_back(self) -> None:
        """See `ErrorFeedback`."""
        for feedback in (*self._outgoing, self._mean):
            feedback.roll_back()
