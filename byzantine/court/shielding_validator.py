"""Flips its gradient, and never accuses or convicts a colluder that does the same."""

from __future__ import annotations

import torch

from btard.behaviour import View
from btard.byzantine.conspirator import Conspirator
from btard.byzantine.gradients.blunt.sign_flip import SCALE
from btard.round.messages.accusations import Charge, Opinion
from btard.round.messages.bodies import Phase


class ShieldingValidator(Conspirator):
    """Colluders get caught as soon as an honest validator is drawn for them."""

    name = "SHIELDING_VALIDATOR"

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        return -SCALE * gradient if self.attacks(step) else gradient

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        return None if honest is not None and honest.accused in self.colluders else honest

    def opinion(self, step: int, charge: Charge, opinion: Opinion) -> Opinion:
        return Opinion.INNOCENT if charge.accused in self.colluders else opinion
