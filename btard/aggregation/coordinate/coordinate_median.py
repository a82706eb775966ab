"""The median of every coordinate (Yin, Chen, Ramchandran, Bartlett, arXiv 1803.01498)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from btard.aggregation.coordinate.sorted_rows import sorted_columns
from btard.aggregation.rows import Rows, check_rows
from btard.aggregation.rule import AggregationResult, Grain, Rule


@dataclass(frozen=True)
class CoordinateMedian(Rule):
    """The middle value of every coordinate, or the mean of the two middle ones: between values of honest rows as long
    as these are more than half."""

    grain = Grain.COORDINATE

    @torch.no_grad()
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the middle of every coordinate; how many rows may lie makes no difference."""
        checked = check_rows(rows)
        value = torch.empty(checked.dimension)
        result, n = value.numpy(), len(checked)
        for piece, columns in sorted_columns(checked):
            # In float64 the sum of two float32 numbers neither overflows nor rounds twice; adding 0 makes -0 a 0.
            below, above = columns[(n - 1) // 2], columns[n // 2]
            result[piece] = (np.add(below, above, dtype=np.float64) + 0.0) / 2
        return AggregationResult(value)

    def upper_bound(self, n: int, f: int) -> float | None:
        """Return 1 / sqrt(n - f) (El-Mhamdi, Guerraoui, Rouault, ICLR 2021)."""
        return 1 / math.sqrt(n - f)
