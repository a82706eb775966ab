"""Sends minus a small multiple of the mean gradient, so that the average points backwards (IPM)."""

from __future__ import annotations

import torch

from btard.byzantine.conspirator import Conspirator
from btard.byzantine.gradients.statistics import mean


class InnerProduct(Conspirator):
    """g becomes -EPSILON times the mean of honest gradients (Xie, Koyejo, Gupta, arXiv 1903.03936).

    The colluders' true gradients stand for the honest ones, which nobody sees in time.
    """

    name = "INNER_PRODUCT"

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        if not self.attacks(step):
            return gradient
        return -self.settings.epsilon * mean(self.known_gradients(step, gradient))
