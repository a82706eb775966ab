"""Minimum diameter averaging: the mean of the n - f rows that lie closest together (Rousseeuw 1985; in learning, El
Mhamdi, Guerraoui, Guirguis, Hoang, Rouault, PODC 2020, arXiv 1905.03853)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from btard.aggregation.averages import mean_of
from btard.aggregation.distance.choice import Choice, decided
from btard.aggregation.distance.covers import can_be_covered
from btard.aggregation.distance.distances import Distances, measured
from btard.aggregation.rows import Rows
from btard.aggregation.rule import AggregationResult, Rule

MOST_LIARS = 25
"""The search takes at most about 1.47^f steps for a distance: a second or so for so many."""


@dataclass(frozen=True)
class MinimumDiameterAveraging(Rule):
    """The mean of the n - f rows with the smallest largest distance between two of them; of several such choices, the
    first in the order of positions. It resists f liars among n >= 2f + 1 rows.

    Rows are left out so that no two of the others are farther apart than a given distance: they cover all edges of the
    graph of pairs that are. That is decided by a search whose depth is f, where trying all subsets takes C(n, f) steps.
    """

    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the mean of those rows."""
        distances = measured(rows)
        n = len(distances.rows)
        refusal = self.check(n, n_byzantine)
        if refusal:
            raise ValueError(refusal)
        chosen = decided(distances, lambda known: _closest(known, n_byzantine))
        return AggregationResult(mean_of(distances.rows, chosen), selected=chosen)

    def check(self, n: int, f: int) -> str | None:
        """Refuse too few rows, and more liars than the search can do."""
        if n < 2 * f + 1:
            return f"minimum diameter averaging needs {2 * f + 1} rows where {f} may lie, and there are {n}"
        if f > MOST_LIARS:
            return f"minimum diameter averaging takes too long where {f} may lie: it allows for at most {MOST_LIARS}"
        return None

    def tolerated(self, n: int) -> int:
        """Return the largest f with n >= 2f + 1 that the search can do."""
        return min(max(0, (n - 1) // 2), MOST_LIARS)

    def upper_bound(self, n: int, f: int) -> float | None:
        """Return (n - f) / (sqrt(8) f) (El-Mhamdi, Guerraoui, Rouault, ICLR 2021)."""
        return (n - f) / (8**0.5 * f) if f else None


def _closest(distances: Distances, f: int) -> Choice:
    """Choose the n - f rows of least diameter."""
    n, squared = len(distances.rows), distances.squared
    if f == 0:
        return Choice(tuple(range(n)))
    levels = np.unique(squared)  # 0 among them, from the diagonal
    few, many = -1, len(levels) - 1  # too small a diameter, and one that is possible
    while many - few > 1:
        level = (few + many) // 2
        few, many = (few, level) if can_be_covered(_farther(squared, levels[level]), f) else (level, many)
    diameter = levels[many]
    low, high = distances.bounds
    close = squared == diameter
    close |= (low <= high[close].max()) & (high >= low[close].min()) & (distances.slack > 0)
    pairs = [(int(a), int(b)) for a, b in np.argwhere(np.triu(close, 1))]
    firsts = distances.rows.firsts.tolist()
    if len({tuple(sorted((firsts[a], firsts[b]))) for a, b in pairs}) > 1:
        unsure = tuple((a, b) for a, b in pairs if distances.slack[a, b] > 0)
        if unsure:
            return Choice((), unsure_pairs=unsure)
    return Choice(_first_choice(_farther(squared, diameter), f))


def _farther(squared: NDArray[np.float64], limit: float) -> list[int]:
    """Return, for each row, those that lie farther from it than the root of the limit, as bits."""
    return [sum(1 << int(other) for other in np.flatnonzero(row > limit)) for row in squared]


def _first_choice(edges: list[int], f: int) -> tuple[int, ...]:
    """Return the first n - f positions, in their order, without an edge between two of them."""
    n = len(edges)
    left, out = (1 << n) - 1, 0
    kept: list[int] = []
    for position in range(n):
        if not left >> position & 1:
            continue
        # To keep a row is to leave out all that it has an edge with.
        gone = (edges[position] & left).bit_count()
        rest = left & ~edges[position] & ~(1 << position)
        if (
            len(kept) < n - f
            and out + gone <= f
            and can_be_covered([edge & rest if rest >> at & 1 else 0 for at, edge in enumerate(edges)], f - out - gone)
        ):
            kept.append(position)
            left, out = left & ~edges[position], out + gone
        else:
            left, out = left & ~(1 << position), out + 1
    return tuple(kept)
