"""Adds Gaussian noise to every number of the gradient."""

from __future__ import annotations

import torch

from btard.byzantine.conspirator import Conspirator
from btard.byzantine.gradients.statistics import deviation


class RandomNoise(Conspirator):
    """g becomes g + NOISE_STD u, with u standard normal in every coordinate.

    With NOISE_RELATIVE each coordinate's noise is in units of its standard deviation among the colluders' true
    gradients; an attacker that knows only its own takes the root mean square of that.
    """

    name = "RANDOM_NOISE"

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        if not self.attacks(step):
            return gradient
        noise = torch.randn(gradient.shape, generator=self.generator(step)).to(gradient.device)
        return gradient + self.settings.noise_std * self._unit(step, gradient) * noise

    def _unit(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        if not self.settings.noise_relative:
            return torch.ones((), device=gradient.device)
        known = self.known_gradients(step, gradient)
        return deviation(known).to(gradient.device) if len(known) > 1 else gradient.square().mean().sqrt()
