"""Divide and conquer (Shejwalkar, Houmansadr, NDSS 2021, algorithm 2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Self

import numpy as np
import torch
from pydantic import Field

from btard.aggregation.averages import mean_of
from btard.aggregation.distance.ordered import all_squares
from btard.aggregation.draws import drawn, seed_at
from btard.aggregation.rows import CheckedRows, Rows, check_rows
from btard.aggregation.rule import AggregationResult, Rule
from btard.aggregation.spectral.spread import largest_spread


@dataclass(frozen=True)
class DivideAndConquer(Rule):
    """The mean of the rows that are never among the `share` f farthest ones in the direction of the largest spread,
    seen on coordinates that are drawn anew in each iteration. It resists f liars among n >= 2f + 1 rows that do not
    know which coordinates are drawn; in a swarm these do not change from step to step, and attackers can know them.

    Attributes:
        iterations: how often coordinates are drawn.
        coordinates: how many, with repetition.
        share: rows that an iteration leaves out, for each declared liar.
        seed: of the draws.
    """

    iterations: Annotated[int, Field(ge=1, le=100)] = 1
    coordinates: Annotated[int, Field(ge=1)] = 10_000
    share: Annotated[float, Field(gt=0)] = 1.0
    seed: Annotated[int, Field(ge=0)] = 0

    @torch.no_grad()
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the mean of the rows that no iteration leaves out."""
        checked = check_rows(rows)
        n = len(checked)
        refusal = self.check(n, n_byzantine)
        if refusal:
            raise ValueError(refusal)
        out = self._left_out(n_byzantine)
        good = set(range(n))
        for iteration in range(self.iterations):
            _, along = largest_spread(all_squares(self._sample(checked, iteration)), np.full(n, 1 / n))
            good &= set(np.argsort(along, kind="stable")[: n - out].tolist())
        chosen = tuple(sorted(good))
        return AggregationResult(mean_of(checked, chosen), selected=chosen)

    def check(self, n: int, f: int) -> str | None:
        """Refuse to leave out all rows."""
        if n <= 2 * f:
            return f"divide and conquer needs {2 * f + 1} rows where {f} may lie, and there are {n}"
        out = self.iterations * self._left_out(f)
        return None if out < n else f"divide and conquer may leave out {out} of {n} rows, so none may be left"

    def tolerated(self, n: int) -> int:
        """Return the most liars of which `check` allows."""
        return max((f for f in range((n + 1) // 2) if self.check(n, f) is None), default=0)

    def at(self, step: int, seed: int = 0) -> Self:
        """Return it with other draws."""
        return replace(self, seed=seed_at(self.seed, seed, step))

    def _left_out(self, f: int) -> int:
        return int(self.share * f + 1e-9)

    def _sample(self, rows: CheckedRows, iteration: int) -> CheckedRows:
        places = drawn(seed_at(self.seed, 0, iteration), self.coordinates) % np.uint64(rows.dimension)
        index = torch.from_numpy(np.sort(places).astype(np.int64))
        return CheckedRows(tuple(row[index] for row in rows.rows), None)
