"""Sends the negated gradient, a thousand times too long, so that averaging climbs the loss."""

from __future__ import annotations

import torch

from btard.byzantine.attacker import Attacker

SCALE = 1000.0


class SignFlipping(Attacker):
    """g becomes -1000 g."""

    name = "SIGN_FLIPPING"

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        return -SCALE * gradient if self.attacks(step) else gradient
