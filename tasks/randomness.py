"""Random draws that depend on a 32-byte seed and on nothing else.

All holders of a seed must get the same batch, on another machine, with other versions of every library, in any process.
So the draws are the output stream of BLAKE3 under a name for what is drawn, read as little-endian integers; the
generators of torch and numpy may change their streams between versions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from blake3 import blake3

if TYPE_CHECKING:
    import torch

SEED_BYTES = 32
"""Length of every seed in bytes."""

_TORCH_GENERATOR = Lock()


class SeededDraws:
    """Independent streams of draws from one seed, one stream for each label.

    Raises:
        ValueError: the seed is not 32 bytes long.
    """

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes, this one has {len(seed)}")
        self._seed = seed

    def bits(self, label: str, count: int) -> npt.NDArray[np.uint64]:
        """`count` uniform 64-bit integers, shape (count,), the same at every call with this label."""
        stream = blake3(self._seed, derive_key_context=f"btard batch draws v1 {label}").digest(length=8 * count)
        return np.frombuffer(stream, dtype="<u8").astype(np.uint64)

    def integers(self, label: str, count: int, bound: int) -> npt.NDArray[np.int64]:
        """`count` integers in [0, bound), int64, shape (count,). The bias is below bound / 2^64."""
        return (self.bits(label, count) % np.uint64(bound)).astype(np.int64)

    def uniform(self, label: str, count: int) -> npt.NDArray[np.float64]:
        """`count` numbers in [0, 1), float64, shape (count,)."""
        return (self.bits(label, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def torch_seed(self, label: str) -> int:
        """A 63-bit seed for a generator of torch."""
        return int(self.bits(label, 1)[0] >> np.uint64(1))


def joint_integers(draws: Sequence[SeededDraws], label: str, count: int, bound: int) -> npt.NDArray[np.int64]:
    """Return `count` integers in [0, bound), int64, (count,): an equal part of them from each of the draws in turn."""
    return np.concatenate([one.integers(label, count // len(draws), bound) for one in draws])


def seed_torch(seed: int, device: torch.device) -> None:
    """Start torch's generators of the CPU and of a device from `seed`, which is below 2^64.

    `torch.manual_seed` starts those of every kind of device, and notes the stack for each kind that is not there, which
    takes longer than the gradient of a small net.
    """
    import torch

    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


@contextmanager
def seeded_torch(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's own generators (dropout, initial weights) start from `seed`; afterwards they are as before.

    The generators belong to the whole process, so threads take turns.
    """
    import torch

    devices = [device] if device.type == "cuda" else []
    with _TORCH_GENERATOR, torch.random.fork_rng(devices=devices):
        seed_torch(seed, device)
        yield
