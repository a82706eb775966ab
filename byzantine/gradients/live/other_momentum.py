"""Builds its vector on another momentum than what it submitted last, and commits to that one."""

from __future__ import annotations

import torch

from btard.byzantine.attacker import Attacker


class OtherMomentum(Attacker):
    """Everything fits together but the chain: hash, shown momentum and vector agree, with a lie of the step before."""

    name = "OTHER_MOMENTUM"

    def momentum(self, step: int, base: torch.Tensor) -> torch.Tensor:
        return -1000.0 * base if self.attacks(step) else base
