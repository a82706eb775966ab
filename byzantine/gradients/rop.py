"""Sends last step's direction, moved at a right angle to it, which centred clipping lets through (ROP)."""

from __future__ import annotations

import torch

from btard.byzantine.conspirator import Conspirator
from btard.byzantine.gradients.statistics import mean, relocated
from btard.byzantine.settings import BehaviourSettings

_MOMENTUM = 0.9


class Rop(Conspirator):
    """Relocated orthogonal perturbation (Ozfatura, Ozfatura, Kupcu, Gunduz, arXiv 2208.09894).

    The paper's reference is the server's momentum of the step before. Here it is the moving average of what the
    colluders know of honest gradients; it is learnt in every step, attacked or not.
    """

    name = "ROP"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._history: torch.Tensor | None = None

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        """Learn from what is known of honest gradients, and while it attacks return their mean, relocated."""
        average = mean(self.known_gradients(step, gradient))
        history = average if self._history is None else self._history
        self._history = _MOMENTUM * history + (1 - _MOMENTUM) * average
        if not self.attacks(step):
            return gradient
        return relocated(average, history, angle=self.settings.rop_angle, length=self.settings.rop_length)
