"""CAF, the covariance-bound agnostic filter (Allouah, Guerraoui, Stephan, ICML 2025, arXiv 2505.01874)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from btard.aggregation.averages import weighted_mean
from btard.aggregation.distance.ordered import all_squares
from btard.aggregation.rows import Rows, check_rows
from btard.aggregation.rule import AggregationResult, Rule
from btard.aggregation.spectral.spread import largest_spread


@dataclass(frozen=True)
class CovarianceFilter(Rule):
    """A weighted mean. Rows begin with the weight 1; again and again, each loses the more the farther it lies in the
    direction of the largest spread, tau_i: c_i (1 - tau_i / max tau), until n - 2f is left of all weights. Of the means
    on the way, that with the smallest spread is the result. It needs no bound on the spread; n >= 2f + 1.

    The maximum is over rows that still have weight, so that each round takes all of it from one row more: over all
    rows, one far row without weight would keep the others as they are for ever.
    """

    @torch.no_grad()
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the mean with the smallest spread."""
        checked = check_rows(rows)
        n, f = len(checked), n_byzantine
        refusal = self.check(n, f)
        if refusal:
            raise ValueError(refusal)
        squared = all_squares(checked)
        weights = np.ones(n)
        best, least = weights / n, np.inf
        while True:
            shares = weights / weights.sum()
            spread, along = largest_spread(squared, shares)
            if spread < least:
                best, least = shares, spread
            farthest = along[weights > 0].max()
            if spread <= 0 or farthest <= 0:
                break
            weights = weights * np.maximum(1 - along / farthest, 0.0)
            if weights.sum() <= n - 2 * f:
                break
        return AggregationResult(weighted_mean(checked, best))

    def check(self, n: int, f: int) -> str | None:
        """Refuse too few rows."""
        return None if n > 2 * f else f"caf needs {2 * f + 1} rows where {f} may lie, and there are {n}"
