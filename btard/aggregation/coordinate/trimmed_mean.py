"""The mean of what is left of every coordinate without its extremes (Yin, Chen, Ramchandran, Bartlett, arXiv
1803.01498)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from btard.aggregation.coordinate.sorted_rows import by_sorted_values, formed_for
from btard.aggregation.coordinate.windows import mean_between
from btard.aggregation.rows import Rows
from btard.aggregation.rule import AggregationResult, Grain, Rule

_ROUNDED = 1e-9
"""What a product of a share and a number of rows may be short of a whole number by rounding."""


@dataclass(frozen=True)
class TrimmedMean(Rule):
    """The mean without the largest and smallest values of every coordinate.

    Attributes:
        share: of the rows, how many may lie in a swarm, rounded down; elsewhere the caller declares how many.
    """

    grain = Grain.COORDINATE

    share: Annotated[float, Field(ge=0, lt=0.5)] = 0.25

    @torch.no_grad()
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the mean of every coordinate without its `n_byzantine` largest and smallest values."""
        formed = formed_for(self, rows, n_byzantine)
        return AggregationResult(by_sorted_values(formed, lambda columns: mean_between(columns, n_byzantine)))

    def check(self, n: int, f: int) -> str | None:
        """Refuse when nothing is left."""
        return None if n > 2 * f else f"the trimmed mean of {n} rows cannot do without {f} at either end"

    def tolerated(self, n: int) -> int:
        """Return how many values are cut off at either end."""
        return math.floor(self.share * n + _ROUNDED)
