"""As far off the mean as honest vectors are from each other (Shejwalkar, Houmansadr, NDSS 2021).

The papers search for the factor by halving steps. The distances are quadratic in it, so it is solved for here.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from enum import StrEnum

import torch

from btard.byzantine.gradients.attack import GradientAttack, Knowledge
from btard.byzantine.gradients.statistics import deviation

_INSIDE = 1 - 2.0**-18
"""What is left of the factor, so that rounding to float32 leads to no place outside."""


class Whither(StrEnum):
    """In which direction the mean is moved."""

    UNIT = "unit"
    """Back along the mean."""
    STD = "std"
    """Down by the deviation of each coordinate."""
    SIGN = "sign"
    """Back by the same amount in each coordinate."""


@dataclass
class _OffTheMean(GradientAttack):
    """mean + factor p, with the largest factor that a bound on distances to honest vectors allows.

    Attributes:
        direction: p.
    """

    direction: Whither = Whither.STD

    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        known = knowledge.known
        mean = known.mean(0)
        moved = self._direction(known, mean)
        if not bool(moved.any()):
            return mean
        return mean + self._factor(known, mean, moved) * _INSIDE * moved

    @abstractmethod
    def _factor(self, known: torch.Tensor, mean: torch.Tensor, moved: torch.Tensor) -> float:
        """Return the factor >= 0."""

    def _direction(self, known: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        match self.direction:
            case Whither.UNIT:
                size = mean.norm()
                return -mean / size if size > 0 else torch.zeros_like(mean)
            case Whither.STD:
                return -deviation(known)
            case Whither.SIGN:
                return -torch.sign(mean)


@dataclass
class MinMax(_OffTheMean):
    """No honest vector is farther from the attackers' than the two honest ones that are farthest from each other."""

    def _factor(self, known: torch.Tensor, mean: torch.Tensor, moved: torch.Tensor) -> float:
        bound = float(torch.cdist(known, known, compute_mode="donot_use_mm_for_euclid_dist").max()) ** 2
        size = _dot(moved, moved)
        factors = []
        for row in known:
            apart = mean - row
            along = _dot(apart, moved)
            factors.append(_positive_root(size, along, _dot(apart, apart) - bound))
        return min(factors)


@dataclass
class MinSum(_OffTheMean):
    """The squared distances to honest vectors add up to no more than those of the honest vector farthest out."""

    def _factor(self, known: torch.Tensor, mean: torch.Tensor, moved: torch.Tensor) -> float:
        squares = torch.cdist(known, known, compute_mode="donot_use_mm_for_euclid_dist").double().square()
        bound = float(squares.sum(1).max())
        apart = [mean - row for row in known]
        spread = sum(_dot(row, row) for row in apart)
        along = sum(_dot(row, moved) for row in apart)
        return _positive_root(len(known) * _dot(moved, moved), along, spread - bound)


def _dot(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(one.double() @ other.double())


def _positive_root(a: float, b: float, c: float) -> float:
    """Return the larger x with a x^2 + 2 b x + c = 0, where c <= 0 up to rounding; never below 0."""
    return max(0.0, (-b + math.sqrt(max(0.0, b * b - a * c))) / a)
