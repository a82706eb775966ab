"""Multi-Krum: the mean of the rows that Krum likes best (arXiv 1703.02757, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from btard.aggregation.distance.krum import Krum
from btard.aggregation.rows import Rows
from btard.aggregation.rule import AggregationResult, Rule


@dataclass(frozen=True)
class MultiKrum(Rule):
    """The mean of the m rows with the smallest Krum scores; it resists f liars among n >= 2f + 3 rows.

    Attributes:
        m: rows that are averaged, n - f unless it is given.
    """

    m: Annotated[int, Field(ge=1)] | None = None

    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the mean of the m best rows."""
        return self._krum(len(rows), n_byzantine).aggregate(rows, n_byzantine=n_byzantine)

    def check(self, n: int, f: int) -> str | None:
        return self._krum(n, f).check(n, f)

    def tolerated(self, n: int) -> int:
        return Krum().tolerated(n)

    def upper_bound(self, n: int, f: int) -> float | None:
        return Krum().upper_bound(n, f)

    def _krum(self, n: int, f: int) -> Krum:
        return Krum(max(1, n - f) if self.m is None else self.m)
