"""The arithmetic mean, which tolerates no lie: a baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from btard.aggregation.averages import mean_of
from btard.aggregation.rows import Rows, check_rows, formed_rows
from btard.aggregation.rule import AggregationResult, FixedPoint, Grain, Rule


@dataclass(frozen=True)
class Mean(Rule):
    """The arithmetic mean, summed in float64. It tolerates no Byzantine row."""

    grain = Grain.COORDINATE

    @torch.no_grad()
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the mean of every coordinate, whatever is said to lie."""
        formed = formed_rows(rows)
        every = tuple(range(len(formed)))
        value = mean_of(formed, every)
        # Sums in float64 are finite where all rows are, and nowhere else.
        if not np.isfinite(value.numpy()).all():
            check_rows(rows)
        return AggregationResult(value, selected=every)

    def tolerated(self, n: int) -> int:
        """Return 0: one row moves the mean anywhere."""
        return 0

    @property
    def equation(self) -> FixedPoint:
        """CenteredClip's with an infinite radius, and nothing left of the sum but rounding."""
        return FixedPoint(radius=math.inf, residual=0.0)
