"""Bulyan: coordinate by coordinate, what the rows that Krum chooses agree on (El Mhamdi, Guerraoui, Rouault, ICML 2018,
arXiv 1802.07927)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from btard.aggregation.averages import means_of_tails
from btard.aggregation.coordinate.windows import around, lower_middle, middle
from btard.aggregation.distance.choice import Choice, decided, lowest
from btard.aggregation.distance.distances import Distances, measured
from btard.aggregation.distance.scores import krum_bound, sums_of_nearest
from btard.aggregation.rows import CheckedRows, Rows
from btard.aggregation.rule import AggregationResult, Rule


@dataclass(frozen=True)
class Bulyan(Rule):
    """Krum chooses n - 2f rows, each among those that are left; the result is, of every coordinate, the mean of the
    n - 4f values of them that lie nearest to their median. It resists f liars among n >= 4f + 3 rows.

    Attributes:
        legacy: as the code behind published figures has it: rows are ordered once, by the sums of their n - f - 2
            smallest distances, not squared. The r-th of n - 2f - 2 vectors is the mean of the n - f - 2 - r best
            rows without the r best ones, and n - 4f - 2 values are kept around the lower median.
    """

    legacy: bool = False

    @torch.no_grad()
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return what the chosen rows agree on."""
        distances = measured(rows)
        n, f = len(distances.rows), n_byzantine
        refusal = self.check(n, f)
        if refusal:
            raise ValueError(refusal)
        if self.legacy and n > 4 * f + 2:
            order = decided(distances, lambda known: _all_in_order(known, n - f - 2))
            means = means_of_tails(distances.rows, order[: n - f - 2], n - 2 * f - 2)
            return AggregationResult(around(CheckedRows(tuple(means), None), lower_middle, n - 4 * f - 2))
        chosen = decided(distances, lambda known: _one_by_one(known, f))
        few = CheckedRows(tuple(distances.rows.rows[position] for position in sorted(chosen)), None)
        return AggregationResult(around(few, middle, n - 4 * f))

    def check(self, n: int, f: int) -> str | None:
        """Refuse too few rows."""
        if f == 0 or n >= 4 * f + 3:
            return None
        return f"bulyan needs {4 * f + 3} rows where {f} may lie, and there are {n}"

    def tolerated(self, n: int) -> int:
        """Return the largest f with n >= 4f + 3."""
        return max(0, (n - 3) // 4)

    def upper_bound(self, n: int, f: int) -> float | None:
        """Return Krum's, where enough rows are there."""
        return krum_bound(n, f) if self.check(n, f) is None else None


def _one_by_one(distances: Distances, f: int) -> Choice:
    """Choose n - 2f rows by Krum, each among those that are left, with at least one neighbour where n - f - 2 of the
    last few are none."""
    n = len(distances.rows)
    left, chosen = np.arange(n), []
    low, high = distances.bounds
    for _ in range(n - 2 * f):
        neighbours = max(1, len(left) - f - 2)
        among = np.ix_(left, left)
        best = lowest(
            sums_of_nearest(low[among], neighbours),
            sums_of_nearest(high[among], neighbours),
            1,
            distances.rows.firsts[left],
        )
        if best.unsure:
            return Choice((), tuple(int(left[position]) for position in best.unsure))
        chosen.append(int(left[best.positions[0]]))
        left = np.delete(left, best.positions[0])
    return Choice(tuple(chosen))


def _all_in_order(distances: Distances, neighbours: int) -> Choice:
    """Choose the order of all rows by the sums of their smallest distances."""
    low, high = (sums_of_nearest(np.sqrt(bound), neighbours) for bound in distances.bounds)
    order = lowest(low, high, len(low), distances.rows.firsts).positions
    unsure: set[int] = set()
    for count in range(1, len(low)):
        unsure.update(lowest(low, high, count, distances.rows.firsts).unsure)
    return Choice(order, tuple(sorted(unsure)))
