"""Local model poisoning, made for one rule each (Fang, Cao, Jia, Gong, USENIX Security 2020).

The paper poisons models; a gradient g stands for the model w - g, so its signs are turned around here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import torch

from btard.byzantine.gradients.attack import GradientAttack, Knowledge

_STRETCH = 2.0
"""b of the paper's section 4.3: values are drawn up to so many times beyond the honest ones."""

_SMALLEST = 1e-5
"""Where the paper's search for lambda gives up."""


class FangTarget(StrEnum):
    """The rule that the vectors are made for."""

    TRIMMED_MEAN = "trimmed_mean"
    """And the median."""
    KRUM = "krum"
    """And Bulyan."""


@dataclass
class Fang(GradientAttack):
    """Pushes every coordinate against the honest mean.

    Attributes:
        against: the rule. For `trimmed_mean` each attacker draws each coordinate just beyond the honest value that is
            farthest the wrong way (section 4.3); for `krum` all send -lambda sign(mean), with the largest lambda that
            Krum still selects (section 4.2).
    """

    against: FangTarget = FangTarget.TRIMMED_MEAN

    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        match self.against:
            case FangTarget.TRIMMED_MEAN:
                return _beyond_the_extremes(knowledge)
            case FangTarget.KRUM:
                return _selected_by_krum(knowledge)


def _beyond_the_extremes(knowledge: Knowledge) -> torch.Tensor:
    """Return (attackers, d): where the mean is positive below the least honest value, else above the largest."""
    known = knowledge.known
    shape = (knowledge.attackers, known.shape[1])
    low, high = known.min(0).values, known.max(0).values
    extreme = torch.where(known.mean(0) > 0, low, high)
    # Beyond an extreme on the far side of zero lies what is longer, on the near side what is shorter.
    grows = (extreme > 0) != (known.mean(0) > 0)
    end = torch.where(grows, extreme * _STRETCH, extreme / _STRETCH)
    drawn = torch.rand(shape, generator=knowledge.generator).to(known.device)
    return extreme + drawn * (end - extreme)


def _selected_by_krum(knowledge: Knowledge) -> torch.Tensor:
    """Return (d,): -lambda sign(mean), lambda halved from its upper bound until Krum selects it."""
    known, n, f = knowledge.known, knowledge.workers, knowledge.attackers
    against = -torch.sign(known.mean(0))
    dimension = known.shape[1]
    neighbours = max(1, min(n - f - 2, len(known) - 1))
    squares = torch.cdist(known, known, compute_mode="donot_use_mm_for_euclid_dist").double().square()
    nearest = squares.sort(1).values[:, 1 : neighbours + 1].sum(1)
    least = float(nearest.min()) if len(known) > 1 else 0.0
    longest = float(torch.linalg.vector_norm(known.double(), dim=1).max())
    size = math.sqrt(least / (max(1, n - 2 * f - 1) * dimension)) + longest / math.sqrt(dimension)
    while size > _SMALLEST and not _krum_selects(known, size * against, n, f, squares):
        size /= 2
    return size * against


def _krum_selects(known: torch.Tensor, sent: torch.Tensor, n: int, f: int, squares: torch.Tensor) -> bool:
    """Whether f copies of a vector get a lower score than each known vector; squares: distances of these, (k, k)."""
    neighbours = max(1, n - f - 2)
    to_sent = (known - sent).double().square().sum(1)
    own = torch.cat([torch.zeros(f - 1, dtype=torch.float64, device=known.device), to_sent]).sort().values
    columns = torch.cat([squares, to_sent.unsqueeze(1).expand(-1, f)], dim=1).sort(1).values
    return bool(own[:neighbours].sum() < columns[:, 1 : neighbours + 1].sum(1).min())
