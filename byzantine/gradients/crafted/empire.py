"""Fall of empires: the mean, turned around and scaled (Xie, Koyejo, Gupta, arXiv 1903.03936).

The factor of `Empire` counts from the mean, that of the other two from zero: 1.1 there is 0.1 here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from btard.byzantine.gradients.crafted.along_line import AlongLine, Factor


@dataclass
class Empire(AlongLine):
    """(1 - factor) mean."""

    def line(self, known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = known.mean(0)
        return mean, -mean


@dataclass
class EmpireStrict(AlongLine):
    """-factor mean."""

    factor: Factor = 1.0

    def line(self, known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = known.mean(0)
        return torch.zeros_like(mean), -mean


@dataclass
class InnerProductManipulation(EmpireStrict):
    """-factor mean with the paper's small factor, which no rule can tell from an honest length."""

    factor: Factor = 0.1
