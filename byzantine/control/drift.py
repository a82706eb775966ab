"""Computes honestly on other hardware: its gradients are off by rounding, DRIFT times their length."""

from __future__ import annotations

import torch

from btard.byzantine.attacker import Attacker


class Drift(Attacker):
    """A random direction in every step. No validator may take it for a lie below the thresholds of the manifest."""

    name = "DRIFT"

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        if not self.attacks(step):
            return gradient
        error = torch.randn(gradient.shape, generator=self.generator(step)).to(gradient.device)
        return gradient + self.settings.drift * gradient.norm() * error / error.norm()
