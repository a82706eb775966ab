"""Sends a vector of NaN and infinity."""

from __future__ import annotations

import torch

from btard.byzantine.attacker import Attacker


class NanRow(Attacker):
    """Commitments are consistent; every second number is NaN, the others are infinite."""

    name = "NAN_ROW"

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        if not self.attacks(step):
            return gradient
        spoiled = torch.full_like(gradient, float("nan"))
        spoiled[1::2] = float("inf")
        return spoiled
