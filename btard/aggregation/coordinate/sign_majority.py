"""What the majority of signs says (Bernstein, Zhao, Azizzadenesheli, Anandkumar, arXiv 1810.05291)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from btard.aggregation.rows import Rows, check_rows
from btard.aggregation.rule import AggregationResult, Grain, Rule

_COLUMNS = 65536


@dataclass(frozen=True)
class SignMajority(Rule):
    """1 or -1 where more values of a coordinate are above or below zero, and 0 where as many are. Fewer than half of
    the rows cannot turn a sign on which all honest rows agree."""

    grain = Grain.COORDINATE

    @torch.no_grad()
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the signs; how many rows may lie makes no difference."""
        checked = check_rows(rows)
        value = torch.empty(checked.dimension)
        for start in range(0, checked.dimension, _COLUMNS):
            piece = slice(start, min(start + _COLUMNS, checked.dimension))
            votes = torch.zeros(piece.stop - start)
            for row in checked.rows:
                votes += torch.sign(row[piece])
            value[piece] = torch.sign(votes)
        return AggregationResult(value)
