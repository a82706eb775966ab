"""How large what crosses a border usually is: what is far from that is looked at beyond the drawn share."""

from __future__ import annotations

import torch


class BorderStatistics:
    """Running mean and spread of the logarithm of what crosses one border, which say when to look.

    Mean and variance decay, so that they follow training.
    """

    DECAY = 0.9
    WARM_UP = 10
    SIGMAS = 6.0
    LEAST_SPREAD = 0.05
    """Of the logarithm: a change by less than a third is never strange."""

    def __init__(self) -> None:
        self._count, self._mean, self._variance = 0, 0.0, 0.0

    def strange(self, values: torch.Tensor) -> bool:
        """Whether the root mean square of a tensor is far from those before; then it does not enter them."""
        size = float(values.detach().double().square().mean().sqrt().clamp_min(1e-30).log())
        spread = max(self._variance**0.5, self.LEAST_SPREAD)
        if self._count >= self.WARM_UP and abs(size - self._mean) > self.SIGMAS * spread:
            return True
        weight = max(1 - self.DECAY, 1 / (self._count + 1))
        self._variance = (1 - weight) * (self._variance + weight * (size - self._mean) ** 2)
        self._mean += weight * (size - self._mean)
        self._count += 1
        return False
