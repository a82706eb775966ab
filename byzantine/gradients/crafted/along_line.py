"""The base of attacks along a line: how far along it attackers go is fixed, or searched against the rule in use."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import AfterValidator

from btard.byzantine.gradients.attack import GradientAttack, Knowledge
from btard.byzantine.gradients.crafted.line_search import line_search
from btard.errors import UserError

_MOST_EVALUATIONS = 1000


def _fixed_or_searched(factor: float) -> float:
    if 0 <= factor < float("inf") or (-_MOST_EVALUATIONS <= factor < 0 and factor.is_integer()):
        return factor
    raise ValueError(
        "a factor is a number from 0 on, or minus a whole number of evaluations that a search for it may take, at most "
        f"{_MOST_EVALUATIONS}"
    )


Factor = Annotated[float, AfterValidator(_fixed_or_searched)]
"""How far to go; -N: as far as moves the aggregate most from the honest mean, among N places that are tried."""


@dataclass
class AlongLine(GradientAttack):
    """All attackers send `start + factor direction`; a subclass says from where and whither.

    Attributes:
        factor: how far.
        negative: whether the other way.
    """

    factor: Factor = -16.0
    negative: bool = False

    @abstractmethod
    def line(self, known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return start and direction, each (d,), from the known vectors (k, d)."""

    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        """Return (d,) for all attackers.

        Raises:
            UserError: the factor is to be searched, and the attackers do not know the rule.
        """
        start, direction = self.line(knowledge.known)
        if self.negative:
            direction = -direction
        factor = self.factor if self.factor >= 0 else self._searched(knowledge, start, direction)
        return torch.add(start, direction, alpha=factor)

    def _searched(self, knowledge: Knowledge, start: torch.Tensor, direction: torch.Tensor) -> float:
        aggregate, honest = knowledge.aggregate, knowledge.known.mean(0)
        if aggregate is None:
            raise UserError(
                f"a factor of {self.factor:g} asks for a search against the aggregation rule, which the attackers do "
                "not know here; give a factor from 0 on"
            )

        def damage(factor: float) -> float:
            moved = aggregate(start + factor * direction) - honest
            return float(torch.linalg.vector_norm(moved, dtype=torch.float64)) ** 2

        return line_search(damage, int(-self.factor))
