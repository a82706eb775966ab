"""MoNNA: the mean of the rows nearest to one that is trusted (Farhadkhani, Guerraoui, Gupta, Hoang, Pinot, Stephan,
ICML 2023, arXiv 2209.10931)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from btard.aggregation.distance.nearest import mean_of_nearest
from btard.aggregation.rows import Rows, formed_rows
from btard.aggregation.rule import AggregationResult, Rule


@dataclass(frozen=True)
class Monna(Rule):
    """The mean of the n - f rows nearest to the trusted one, itself among them; n >= 2f + 1.

    Peers of a swarm trust no row, so there it allows for no liar, and is the mean.

    Attributes:
        pivot: position of the row that is trusted, one's own among peers that each aggregate for themselves.
    """

    pivot: Annotated[int, Field(ge=0)] = 0

    @torch.no_grad()
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the mean of the rows nearest to the pivot."""
        formed = formed_rows(rows)
        refusal = self.check(len(formed), n_byzantine)
        if refusal:
            raise ValueError(refusal)
        return mean_of_nearest(formed, formed.rows[self.pivot], len(formed) - n_byzantine)

    def check(self, n: int, f: int) -> str | None:
        """Refuse too few rows."""
        if n <= self.pivot:
            return f"monna trusts the row at position {self.pivot}, and there are {n}"
        return None if n > 2 * f else f"monna needs {2 * f + 1} rows where {f} may lie, and there are {n}"

    def tolerated(self, n: int) -> int:
        """Return 0: which row could peers trust?"""
        return 0
