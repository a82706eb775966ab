"""The mean backwards and far too long, so that averaging climbs the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from btard.byzantine.gradients.attack import GradientAttack, Knowledge

SCALE = 1000.0
"""How many times too long (Gorbunov et al., arXiv 2106.11257, section 4.1)."""


@dataclass
class SignFlip(GradientAttack):
    """-scale mean."""

    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = SCALE

    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        return -self.scale * knowledge.known.mean(0)
