"""A little is enough: a few deviations off the mean (Baruch, Baruch, Goldberg, arXiv 1902.06156)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from btard.byzantine.gradients.attack import GradientAttack, Knowledge
from btard.byzantine.gradients.crafted.along_line import AlongLine
from btard.byzantine.gradients.statistics import mean_and_deviation, most_deviations


@dataclass
class Little(AlongLine):
    """mean + factor sigma, with sigma the unbiased deviation of every coordinate. The paper's sign is `negative`."""

    def line(self, known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return mean_and_deviation(known)


@dataclass
class MostLittle(GradientAttack):
    """mean - z_max sigma (paper, algorithm 3): as far as enough honest workers are still farther off."""

    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        z = most_deviations(knowledge.workers, knowledge.attackers)
        return Little(factor=z, negative=True).vectors(knowledge)
