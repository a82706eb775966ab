"""Adds Gaussian noise to every number of the gradient."""

from __future__ import annotations

import torch

from btard.byzantine.conspirator import Conspirator
from btard.byzantine.gradients.attack import Knowledge
from btard.byzantine.gradients.blunt.gaussian_noise import GaussianNoise, NoiseScale
from btard.byzantine.settings import BehaviourSettings


class RandomNoise(Conspirator):
    """The noise of the laboratory's attack on top of the own gradient.

    With NOISE_RELATIVE each coordinate's noise is in units of its standard deviation among the colluders' true
    gradients; an attacker that knows only its own takes the root mean square of that.
    """

    name = "RANDOM_NOISE"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        scale = NoiseScale.RELATIVE if settings.noise_relative else NoiseScale.ABSOLUTE
        self._attack = GaussianNoise(settings.noise_std, scale)

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        """Return the gradient and noise; others are waited for only where their deviation counts."""
        if not self.attacks(step):
            return gradient
        relative = self._attack.scale is NoiseScale.RELATIVE
        known = self.known_gradients(step, gradient) if relative else [gradient.detach()]
        attackers = len(self.colluders)
        knowledge = Knowledge(
            step,
            torch.stack(known),
            workers=attackers,
            attackers=attackers,
            declared=attackers,
            generator=self.generator(step),
        )
        return gradient + self._attack.drawn(knowledge).to(gradient.device)
