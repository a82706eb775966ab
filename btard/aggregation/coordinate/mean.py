"""The arithmetic mean, which tolerates no lie: a baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from btard.aggregation.averages import mean_of
from btard.aggregation.rows import Rows, check_rows
from btard.aggregation.rule import AggregationResult, FixedPoint, Grain, Rule


@dataclass(frozen=True)
class Mean(Rule):
    """The arithmetic mean, summed in float64. It tolerates no Byzantine row."""

    grain = Grain.COORDINATE

    @torch.no_grad()
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the mean of every coordinate, whatever is said to lie."""
        checked = check_rows(rows)
        every = tuple(range(len(checked)))
        return AggregationResult(mean_of(checked, every), selected=every)

    def tolerated(self, n: int) -> int:
        """Return 0: one row moves the mean anywhere."""
        return 0

    @property
    def equation(self) -> FixedPoint:
        """CenteredClip's with an infinite radius, and nothing left of the sum but rounding."""
        return FixedPoint(radius=math.inf, residual=0.0)
