"""Phocas: the mean of the values nearest to the trimmed mean (Xie, Koyejo, Gupta, arXiv 1805.09682)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from btard.aggregation.coordinate.sorted_rows import formed_for
from btard.aggregation.coordinate.windows import around, mean_between
from btard.aggregation.rows import Rows
from btard.aggregation.rule import AggregationResult, Grain, Rule


@dataclass(frozen=True)
class Phocas(Rule):
    """Of every coordinate, the mean of the n - f values that lie nearest to its trimmed mean; n >= 2f + 1."""

    grain = Grain.COORDINATE

    @torch.no_grad()
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return that mean."""
        formed = formed_for(self, rows, n_byzantine)
        keep = len(formed) - n_byzantine
        return AggregationResult(around(formed, lambda columns: mean_between(columns, n_byzantine), keep))

    def check(self, n: int, f: int) -> str | None:
        """Refuse when nothing is left."""
        return None if n > 2 * f else f"phocas needs {2 * f + 1} rows where {f} may lie, and there are {n}"
