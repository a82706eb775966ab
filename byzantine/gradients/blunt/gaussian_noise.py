"""Gaussian noise on top of what is honest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import torch
from pydantic import Field

from btard.byzantine.gradients.attack import GradientAttack, Knowledge
from btard.byzantine.gradients.statistics import deviation


class NoiseScale(StrEnum):
    """What the strength of noise is measured in."""

    ABSOLUTE = "absolute"
    """In the unit of the vectors."""
    RELATIVE = "relative"
    """In standard deviations of honest vectors, coordinate by coordinate."""


@dataclass
class GaussianNoise(GradientAttack):
    """mean + std u, with u standard normal in every coordinate, drawn anew for each attacker and step.

    Attributes:
        std: the strength.
        scale: its unit. A single known vector has no deviation: its root mean square takes that place.
    """

    std: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    scale: NoiseScale = NoiseScale.ABSOLUTE

    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        """Return (attackers, d)."""
        mean = knowledge.known.mean(0)
        return torch.stack([mean + self.drawn(knowledge) for _ in range(knowledge.attackers)])

    def drawn(self, knowledge: Knowledge) -> torch.Tensor:
        """Return the noise (d,) of one attacker."""
        known = knowledge.known
        noise = torch.randn(known.shape[1], generator=knowledge.generator).to(known.device)
        return self.std * self._unit(known) * noise

    def _unit(self, known: torch.Tensor) -> torch.Tensor:
        if self.scale is NoiseScale.ABSOLUTE:
            return torch.ones((), device=known.device)
        return deviation(known) if len(known) > 1 else known[0].square().mean().sqrt()
