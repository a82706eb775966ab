"""What attackers make of the vectors that they know."""

from __future__ import annotations

from statistics import NormalDist

import torch


def deviation(known: torch.Tensor) -> torch.Tensor:
    """Return the unbiased standard deviation (d,) of every coordinate of (k, d) vectors; zeros for a single one."""
    if len(known) < 2:
        return torch.zeros_like(known[0])
    mean, squares = known.mean(0), torch.zeros_like(known[0])
    for row in known:  # several times as fast as known.std(0), which goes down the columns
        squares.addcmul_(row - mean, row - mean)
    return squares.div_(len(known) - 1).sqrt_()


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
