"""Sends its own gradient of DELAY_STEPS steps ago: a true one, of a model that is long gone."""

from __future__ import annotations

import torch

from btard.byzantine.attacker import Attacker
from btard.byzantine.gradients.live.past import Past
from btard.byzantine.settings import BehaviourSettings


class DelayedGradient(Attacker):
    """The past is recorded from the first step on, so that there is one when the attack starts.

    Where it has no gradient of that very step, it sends the oldest that it has; in its first step, its own.
    """

    name = "DELAYED_GRADIENT"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._past: Past | None = None

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        """Remember the gradient, and while it attacks return one of DELAY_STEPS steps ago."""
        if self._past is None:
            settings = self.settings
            name = f"past-{self._digest('past', 0).hex()[:16]}"
            self._past = Past(settings.attack_directory, name, settings.delay_steps, len(gradient))
        old = self._past.exchange(step, gradient)
        return old.to(gradient.device) if old is not None and self.attacks(step) else gradient
