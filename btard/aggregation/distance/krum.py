"""Krum: the row with the nearest neighbours (Blanchard, El Mhamdi, Guerraoui, Stainer, NIPS 2017, arXiv 1703.02757)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from btard.aggregation.averages import mean_of
from btard.aggregation.distance.choice import decided
from btard.aggregation.distance.distances import measured
from btard.aggregation.distance.scores import best_scored, krum_bound, krum_refusal
from btard.aggregation.rows import Rows
from btard.aggregation.rule import AggregationResult, Rule


@dataclass(frozen=True)
class Krum(Rule):
    """The row, or the mean of the m rows, with the smallest sum of squared distances to its n - f - 2 nearest others.

    It resists f liars among n >= 2f + 3 rows.

    Attributes:
        m: rows that are averaged; 1 unless it is given, n - f - 2 in the legacy form.
        legacy: as the code behind published figures has it: distances not squared, to the n - f - 1 nearest others.
    """

    m: Annotated[int, Field(ge=1)] | None = None
    legacy: bool = False

    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the best row, or the mean of the m best."""
        distances = measured(rows)
        n = len(distances.rows)
        refusal = self.check(n, n_byzantine)
        if refusal:
            raise ValueError(refusal)
        neighbours = n - n_byzantine - (1 if self.legacy else 2)
        count, squared = self._averaged(n, n_byzantine), not self.legacy
        chosen = decided(distances, lambda known: best_scored(known, neighbours, count, squared=squared))
        return AggregationResult(mean_of(distances.rows, chosen), selected=tuple(sorted(chosen)))

    def check(self, n: int, f: int) -> str | None:
        """Refuse too few rows."""
        most = max(1, n - f - 2) if self.legacy else n - f
        if self.m is not None and self.m > most:
            return f"krum can average at most {most} of {n} rows where {f} may lie, not {self.m}"
        return krum_refusal(n, f)

    def tolerated(self, n: int) -> int:
        """Return the largest f with n >= 2f + 3."""
        return max(0, (n - 3) // 2)

    def upper_bound(self, n: int, f: int) -> float | None:
        """Return `krum_bound`."""
        return krum_bound(n, f)

    def _averaged(self, n: int, f: int) -> int:
        if self.m is not None:
            return self.m
        return max(1, n - f - 2) if self.legacy else 1
