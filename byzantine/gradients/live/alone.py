"""Attacks of peers that know nothing but their own gradient."""

from __future__ import annotations

from abc import abstractmethod

import torch

from btard.byzantine.attacker import Attacker
from btard.byzantine.gradients.attack import GradientAttack, Knowledge
from btard.byzantine.gradients.blunt.not_a_number import NotANumber
from btard.byzantine.gradients.blunt.shared_direction import SharedDirection
from btard.byzantine.gradients.blunt.sign_flip import SignFlip
from btard.byzantine.settings import BehaviourSettings


class Alone(Attacker):
    """Sends what an attack makes of the own gradient, as if that were all that is known."""

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._attack = self._made(settings)

    @abstractmethod
    def _made(self, settings: BehaviourSettings) -> GradientAttack:
        """Return the attack that the settings ask for."""

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        """Return the attack's vector of a single attacker."""
        if not self.attacks(step):
            return gradient
        known, generator = gradient.unsqueeze(0), self.generator(step)
        alone = Knowledge(step, known, workers=1, attackers=1, declared=1, generator=generator)
        return self._attack.vectors(alone)


class SignFlipping(Alone):
    """g becomes -1000 g."""

    name = "SIGN_FLIPPING"

    def _made(self, settings: BehaviourSettings) -> GradientAttack:
        return SignFlip()


class ConstantDirection(Alone):
    """g becomes 1000 ||g|| u, with u the direction of DIRECTION_SEED."""

    name = "CONSTANT_DIRECTION"

    def _made(self, settings: BehaviourSettings) -> GradientAttack:
        return SharedDirection(seed=settings.direction_seed)


class NanRow(Alone):
    """Commitments are consistent; every second number is NaN, the others are infinite."""

    name = "NAN_ROW"

    def _made(self, settings: BehaviourSettings) -> GradientAttack:
        return NotANumber(infinite=True)
