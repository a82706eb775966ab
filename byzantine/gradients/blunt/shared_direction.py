"""A vector along one random direction that all attackers share, far too long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from btard.byzantine.gradients.attack import GradientAttack, Knowledge


@dataclass
class SharedDirection(GradientAttack):
    """scale ||mean|| u, with u a unit Gaussian direction in the space of all parameters (arXiv 2106.11257, section
    4.1).

    The published code drew a unit direction for each tensor of the model; here a gradient is one flat vector, and
    attackers add up in the same way.

    Attributes:
        scale: published: 1000.
        seed: of the direction; published: 666.
    """

    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1000.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 666

    def __post_init__(self) -> None:
        self._direction = torch.empty(0)

    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        mean = knowledge.known.mean(0)
        return self.scale * mean.norm() * self._drawn(mean)

    def _drawn(self, like: torch.Tensor) -> torch.Tensor:
        """The direction on the vector's device, drawn on the CPU, whose generator gives every attacker the same."""
        if self._direction.shape != like.shape:
            generator = torch.Generator().manual_seed(self.seed)
            direction = torch.randn(like.shape, generator=generator, dtype=torch.float32)
            self._direction = (direction / direction.norm()).to(like.device)
        return self._direction
