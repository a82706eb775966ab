"""Aksel: the mean of the rows nearest to the median (Boussetta, El-Mhamdi, Guerraoui, Maurer, Rouault, OPODIS 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch

from btard.aggregation.coordinate.coordinate_median import CoordinateMedian
from btard.aggregation.distance.nearest import mean_of_nearest
from btard.aggregation.rows import Rows, formed_rows
from btard.aggregation.rule import AggregationResult, Rule


class Nearest(StrEnum):
    """How many rows are averaged."""

    MID = "mid"
    """Half of them, (n + 1) // 2."""

    ALL_HONEST = "n-f"
    """As many as are honest, n - f."""


@dataclass(frozen=True)
class Aksel(Rule):
    """The mean of the rows nearest to the median of every coordinate; it resists f liars among n >= 2f + 1 rows.

    Attributes:
        mode: how many rows are averaged.
        legacy: as the code behind published figures has it: the lower of two middle values is the median.
    """

    mode: Nearest = Nearest.MID
    legacy: bool = False

    @torch.no_grad()
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the mean of the rows nearest to the median."""
        formed = formed_rows(rows)
        n = len(formed)
        refusal = self.check(n, n_byzantine)
        if refusal:
            raise ValueError(refusal)
        centre = CoordinateMedian(self.legacy).aggregate(rows, n_byzantine=n_byzantine).value
        return mean_of_nearest(formed, centre, (n + 1) // 2 if self.mode is Nearest.MID else n - n_byzantine)

    def check(self, n: int, f: int) -> str | None:
        """Refuse too few rows."""
        return None if n > 2 * f else f"aksel needs {2 * f + 1} rows where {f} may lie, and there are {n}"
