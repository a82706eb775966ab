"""Mean around median: the mean of the values nearest to the median (Xie, Koyejo, Gupta, arXiv 1802.10116)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from btard.aggregation.coordinate.sorted_rows import formed_for
from btard.aggregation.coordinate.windows import around, lower_middle, middle
from btard.aggregation.rows import Rows
from btard.aggregation.rule import AggregationResult, Grain, Rule


@dataclass(frozen=True)
class Meamed(Rule):
    """Of every coordinate, the mean of the n - f values that lie nearest to its median; n >= 2f + 1.

    Attributes:
        legacy: as the code behind published figures has it: the lower of two middle values is the median.
    """

    grain = Grain.COORDINATE

    legacy: bool = False

    @torch.no_grad()
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return that mean."""
        formed = formed_for(self, rows, n_byzantine)
        centre = lower_middle if self.legacy else middle
        return AggregationResult(around(formed, centre, len(formed) - n_byzantine))

    def check(self, n: int, f: int) -> str | None:
        """Refuse when nothing is left."""
        return None if n > 2 * f else f"mean around median needs {2 * f + 1} rows where {f} may lie, and there are {n}"
