"""Dies without a word in its first attack."""

from __future__ import annotations

import torch

from btard.byzantine.attacker import Attacker


class Crash(Attacker):
    """The process kills itself while it computes: no goodbye, no clean end."""

    name = "CRASH"

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        if self.attacks(step):
            self.die()
        return gradient
