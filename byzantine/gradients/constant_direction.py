"""Sends a vector a thousand times too long along one random direction that all such attackers share."""

from __future__ import annotations

import torch

from btard.byzantine.attacker import Attacker
from btard.byzantine.settings import BehaviourSettings

SCALE = 1000.0


class ConstantDirection(Attacker):
    """g becomes 1000 ||g|| u, with u a unit Gaussian direction in the space of all parameters.

    The published code drew a unit direction for each tensor of the model; here a gradient is one flat vector, and
    attackers add up in the same way.
    """

    name = "CONSTANT_DIRECTION"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._direction_seed = settings.direction_seed
        self._direction = torch.empty(0)

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        if not self.attacks(step):
            return gradient
        return SCALE * gradient.norm() * self._shared_direction(gradient)

    def _shared_direction(self, like: torch.Tensor) -> torch.Tensor:
        """The direction on the gradient's device, drawn on the CPU, whose generator gives every attacker the same."""
        if self._direction.shape != like.shape:
            generator = torch.Generator().manual_seed(self._direction_seed)
            direction = torch.randn(like.shape, generator=generator, dtype=torch.float32)
            self._direction = (direction / direction.norm()).to(like.device)
        return self._direction
