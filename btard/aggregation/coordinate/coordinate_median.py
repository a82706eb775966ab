"""The median of every coordinate (Yin, Chen, Ramchandran, Bartlett, arXiv 1803.01498)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from btard.aggregation.coordinate.sorted_rows import by_sorted_values
from btard.aggregation.coordinate.windows import lower_middle, middle
from btard.aggregation.rows import Rows, formed_rows
from btard.aggregation.rule import AggregationResult, Grain, Rule


@dataclass(frozen=True)
class CoordinateMedian(Rule):
    """The middle value of every coordinate, or the mean of the two middle ones: between values of honest rows as long
    as these are more than half.

    Attributes:
        legacy: as the code behind published figures has it: the lower of two middle values.
    """

    grain = Grain.COORDINATE

    legacy: bool = False

    @torch.no_grad()
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the middle of every coordinate; how many rows may lie makes no difference."""
        formed = formed_rows(rows)
        return AggregationResult(by_sorted_values(formed, lower_middle if self.legacy else middle))

    def upper_bound(self, n: int, f: int) -> float | None:
        """Return 1 / sqrt(n - f) (El-Mhamdi, Guerraoui, Rouault, ICLR 2021)."""
        return 1 / math.sqrt(n - f)
