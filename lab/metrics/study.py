"""The 24 numbers of a step's vectors, under the names of the published files.

They are those of El-Mhamdi, Guerraoui, Rouault: Distributed Momentum for Byzantine-resilient SGD, ICLR 2021.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch

from btard.aggregation.rows import side_by_side

_GROUPS = ("Sampled", "Honest", "Attack", "Defense")

STUDY_COLUMNS = (
    "Step number",
    "Training point count",
    "Average loss",
    "l2 from origin",
    *(f"{group} gradient deviation" for group in _GROUPS[:3]),
    *(f"{group} gradient norm" for group in _GROUPS),
    *(f"{group} max coordinate" for group in _GROUPS),
    *(f"{a}-{b.lower()} cosine" for a, b in combinations(_GROUPS, 2)),
    "Sampled-prev cosine",
    "Sampled composite curvature",
    "Attack acceptation ratio",
)
"""In the order of the published files."""


_CACHED_NUMBERS = 65536
"""Differences that are squared at once."""


@dataclass(frozen=True)
class VectorGroup:
    """Vectors of one kind: how many, their average (d,), the square root of their unbiased variance (nan below 2)."""

    count: int
    average: torch.Tensor
    deviation: float


class VectorSpread:
    """Average and deviation of vectors that come a few at a time, in pieces (Chan, Golub, LeVeque 1983)."""

    def __init__(self, dimension: int, device: torch.device) -> None:
        self.count = 0
        self._average = torch.zeros(dimension, device=device)
        self._squares = 0.0

    def add(self, pieces: Sequence[tuple[slice, torch.Tensor]]) -> None:
        """Count in k vectors: (columns, (k, width)), which cover all columns together."""
        more = len(pieces[0][1])
        share = more / (self.count + more)
        for columns, values in pieces:
            mean = values.mean(0) if more > 1 else values[0]
            if more > 1:
                # Many short vectors at once, long ones each by itself, so that differences stay in the cache.
                at_once = values.split(max(1, _CACHED_NUMBERS // max(1, values.shape[1])))
                self._squares += sum(_squared(some - mean) for some in at_once)
            average = self._average[columns]
            difference = mean - average
            self._squares += _squared(difference) * self.count * share
            average.add_(difference, alpha=share)
        self.count += more

    @property
    def group(self) -> VectorGroup:
        """What has come so far, at least one vector; the average is the caller's to keep."""
        variance = self._squares / (self.count - 1) if self.count > 1 else math.nan
        return VectorGroup(self.count, self._average, math.sqrt(variance))


def _squared(vector: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(vector)) ** 2


def group_of(rows: Sequence[torch.Tensor]) -> VectorGroup | None:
    """Return average and deviation of rows (d,), None without any; the same object several times is read once."""
    if not rows:
        return None
    if all(row is rows[0] for row in rows):
        return VectorGroup(len(rows), rows[0], 0.0 if len(rows) > 1 else math.nan)
    spread, columns = VectorSpread(len(rows[0]), rows[0].device), slice(0, len(rows[0]))
    together = side_by_side(rows)
    for some in [row[None] for row in rows] if together is None else [together]:
        spread.add([(columns, some)])
    return spread.group


class Curvature:
    """mu sum_{i < K} mu^i <A(t), A(t-1-i)>, kept as one sum that loses its oldest member in each step."""

    def __init__(self, momentum: float, past: int) -> None:
        self._momentum = momentum
        self._most = past if momentum >= 1e-6 else 1
        self._past: deque[torch.Tensor] = deque()
        self._sum: torch.Tensor | None = None

    def __call__(self, average: torch.Tensor) -> tuple[float, float]:
        """Return cosine to the average before (nan for the first) and curvature, and remember the average."""
        curvature, before = 0.0, math.nan
        if self._sum is not None:
            curvature = self._momentum * float(self._sum @ average)
            before = _cosine(average, self._past[-1])
            self._sum.mul_(self._momentum).add_(average)
        else:
            self._sum = average.clone()
        self._past.append(average)
        if len(self._past) > self._most:
            self._sum.sub_(self._past.popleft(), alpha=self._momentum**self._most)
        return before, curvature

    def state(self) -> dict[str, torch.Tensor]:
        """Return what it remembers."""
        if self._sum is None:
            return {}
        return {"sum": self._sum, "past": torch.stack(list(self._past))}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take over what `state` has returned."""
        if state:
            self._sum = state["sum"].clone()
            # Each in memory of its own: how products round depends on where vectors begin.
            self._past = deque(row.clone() for row in state["past"])


def study_row(
    step: int,
    points: int,
    loss: float,
    from_origin: float,
    groups: Sequence[VectorGroup | None],
    curvature: tuple[float, float],
    influence: float,
) -> dict[str, float]:
    """Return one row of the study.

    Args:
        groups: sampled, honest, attack (None without one), defense (whose deviation is not asked for).
        curvature: what `Curvature` has returned.
        influence: share of Byzantine vectors among the selected ones, nan where it is not defined.
    """
    norms = [math.nan if group is None else float(torch.linalg.vector_norm(group.average)) for group in groups]
    values = [
        step,
        points,
        loss,
        from_origin,
        *(math.nan if group is None else group.deviation for group in groups[:3]),
        *norms,
        *(math.nan if group is None else float(group.average.abs().max()) for group in groups),
    ]
    for (a, norm_a), (b, norm_b) in combinations(zip(groups, norms, strict=True), 2):
        if a is None or b is None:
            values.append(math.nan)
        else:
            product = norm_a * norm_b
            values.append(float(a.average @ b.average) / product if product else math.nan)
    return dict(zip(STUDY_COLUMNS, [*values, *curvature, influence], strict=True))


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    product = float(torch.linalg.vector_norm(a)) * float(torch.linalg.vector_norm(b))
    return float(a @ b) / product if product else math.nan
