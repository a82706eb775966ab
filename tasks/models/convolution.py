"""Two-dimensional convolutions that compute with channels last, which a processor does faster for few channels."""

from __future__ import annotations

import torch
from torch import nn


class Convolution(nn.Conv2d):
    """`torch.nn.Conv2d`, whose output has its channels last in memory, and so has all that follows from it.

    Weights lie in memory as everywhere else, so parts of a flat vector of weights are the same.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return (n, outputs, height, width) of (n, inputs, height, width)."""
        # A clone, since a weight of one input channel counts as having its channels last already.
        weight = self.weight.clone(memory_format=torch.channels_last)
        return self._conv_forward(input, weight, self.bias)
