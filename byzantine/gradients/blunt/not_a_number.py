"""Vectors without a number in them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from btard.byzantine.gradients.attack import GradientAttack, Knowledge


@dataclass
class NotANumber(GradientAttack):
    """NaN everywhere.

    Attributes:
        infinite: whether every second number is infinite instead.
    """

    infinite: bool = False

    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        spoiled = torch.full_like(knowledge.known[0], float("nan"))
        if self.infinite:
            spoiled[1::2] = float("inf")
        return spoiled
