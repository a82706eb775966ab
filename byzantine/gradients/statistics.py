"""What attackers make of the vectors that they know."""

from __future__ import annotations

from statistics import NormalDist

import torch

_NUMBERS = 1 << 18
"""Of all vectors, whose differences from the mean stay in the second-level cache."""


def deviation(known: torch.Tensor) -> torch.Tensor:
    """Return the unbiased standard deviation (d,) of every coordinate of (k, d) vectors; zeros for a single one."""
    return mean_and_deviation(known)[1]


def mean_and_deviation(known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean (d,) of (k, d) vectors and their `deviation` in one pass over them, several times as fast as
    `known.std(0)`, which goes down the columns."""
    count, dimension = known.shape
    mean, squares = torch.empty_like(known[0]), torch.zeros_like(known[0])
    width = max(1024, _NUMBERS // count)
    memory = known.new_empty(count, min(width, dimension))
    for start in range(0, dimension, width):
        piece = slice(start, min(start + width, dimension))
        torch.mean(known[:, piece], 0, out=mean[piece])
        if count > 1:
            apart = torch.sub(known[:, piece], mean[piece], out=memory[:, : piece.stop - start])
            torch.sum(apart.square_(), 0, out=squares[piece])
    return mean, squares.div_(max(1, count - 1)).sqrt_()


def most_deviations(peers: int, attackers: int) -> float:
    """Return z_max of ALIE: how far from the mean an attacker may be and still have enough honest peers beyond it.

    With s = floor(n / 2 + 1) - b honest peers needed for a majority, it is the normal quantile of
    (n - b - s) / (n - b). Where that is no probability above a half, the attackers cannot hide at all: 0.
    """
    honest = peers - attackers
    needed = peers // 2 + 1 - attackers
    share = (honest - needed) / honest if honest > 0 else 0.0
    if share <= 0.5:
        return 0.0
    # Attackers that are a majority need nobody: infinitely many deviations, as far as a double goes.
    return NormalDist().inv_cdf(min(share, 1 - 2.0**-53))
