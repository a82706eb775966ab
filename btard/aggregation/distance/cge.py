"""Comparative gradient elimination: the mean without the longest rows (Gupta, Liu, Vaidya, arXiv 2008.04699)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from btard.aggregation.distance.nearest import mean_of_nearest
from btard.aggregation.rows import Rows, formed_rows
from btard.aggregation.rule import AggregationResult, Rule


@dataclass(frozen=True)
class ComparativeElimination(Rule):
    """The mean of the n - f shortest rows. Liars that keep below the length of honest rows stay in: it bounds what f of
    n >= 2f + 1 rows can do, and filters none that hide."""

    @torch.no_grad()
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the mean of the shortest rows."""
        formed = formed_rows(rows)
        refusal = self.check(len(formed), n_byzantine)
        if refusal:
            raise ValueError(refusal)
        return mean_of_nearest(formed, None, len(formed) - n_byzantine)

    def check(self, n: int, f: int) -> str | None:
        """Refuse to leave out all rows."""
        return None if n > f else f"comparative elimination of {n} rows cannot leave out {f}"
