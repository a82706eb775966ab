"""Draws that are the same on every machine, from a seed and a step. They hide nothing from those that know the seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def seed_at(own: int, seed: int, step: int) -> int:
    """Return the seed for one step of what draws by a seed of its own, in a run with another."""
    return int(np.random.SeedSequence((own, seed, step)).generate_state(1, np.uint64)[0])


def drawn(seed: int, count: int) -> NDArray[np.uint64]:
    """Return (count,) numbers, each uniform among those of 64 bits."""
    return np.random.PCG64(np.random.SeedSequence(seed)).random_raw(count)


def shuffled(seed: int, count: int) -> NDArray[np.intp]:
    """Return the numbers below `count` in an order that the seed decides."""
    return np.argsort(drawn(seed, count), kind="stable")
