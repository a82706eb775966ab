"""Nearest neighbour mixing (Allouah, Farhadkhani, Guerraoui, Gupta, Pinot, Stephan, AISTATS 2023, arXiv 2302.01772)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from btard.aggregation.averages import means_of
from btard.aggregation.before.pre_aggregator import PreAggregator
from btard.aggregation.distance.choice import Choice, decided, lowest
from btard.aggregation.distance.distances import Distances, measured
from btard.aggregation.rows import Rows


@dataclass(frozen=True)
class NearestNeighbourMixing(PreAggregator):
    """Puts the mean of the n - f rows nearest to it, itself among them, in the place of every row; n >= 2f + 1."""

    @torch.no_grad()
    def prepared(self, rows: Rows, *, n_byzantine: int) -> Sequence[torch.Tensor]:
        """Return the n means; rows with the same neighbours share one."""
        distances = measured(rows)
        n = len(distances.rows)
        refusal = self.check(n, n_byzantine)
        if refusal:
            raise ValueError(refusal)
        keep = n - n_byzantine
        flat = decided(distances, lambda known: _neighbours(known, keep))
        neighbours = [tuple(sorted(flat[row * keep : (row + 1) * keep])) for row in range(n)]
        different = sorted(set(neighbours))
        means = dict(zip(different, means_of(distances.rows, different), strict=True))
        return [means[each] for each in neighbours]

    def check(self, n: int, f: int) -> str | None:
        """Refuse too few rows."""
        return (
            None
            if n > 2 * f
            else f"nearest neighbour mixing needs {2 * f + 1} rows where {f} may lie, and there are {n}"
        )


def _neighbours(distances: Distances, keep: int) -> Choice:
    """Choose the nearest rows of each row, one row after the other."""
    low, high = distances.bounds
    chosen: list[int] = []
    unsure: list[int] = []
    for row in range(len(low)):
        # A row is its own neighbour, before all that equal it.
        low[row, row] = high[row, row] = -1.0
        nearest = lowest(low[row], high[row], keep, distances.rows.firsts)
        chosen += nearest.positions
        unsure += [row] if nearest.unsure else []
    return Choice(tuple(chosen), tuple(unsure))
