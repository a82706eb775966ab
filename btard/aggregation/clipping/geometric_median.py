"""The geometric median: the point with the smallest sum of distances (in learning, Pillutla, Kakade, Harchaoui, arXiv
1912.13445)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Self

from pydantic import Field

from btard.aggregation.clipping.centered_clip import centered_clip
from btard.aggregation.rows import Rows
from btard.aggregation.rule import AggregationResult, Rule


@dataclass(frozen=True)
class GeometricMedian(Rule):
    """The v that minimises sum_i ||x_i - v||, smoothed where a row lies on it, to convergence. It is bounded as long as
    fewer than half of the rows lie.

    Where no row is nearer than the radius, the minimum is where sum_i (x_i - v) / ||x_i - v|| = 0: CenteredClip's
    equation with a radius below all distances, times the radius. What peers publish to prove CenteredClip says little
    with so small a radius, so auditors aggregate again.

    Attributes:
        smoothing: a length: nearer rows pull in proportion to their distance instead of with full force.
    """

    smoothing: Annotated[float, Field(gt=0)] = 1e-6

    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return the minimum; how many rows may lie makes no difference."""
        result = centered_clip(rows, tau=self.smoothing)
        return AggregationResult(result.value, result.residual)

    def scaled(self, factor: float) -> Self:
        """Return the rule with a smoothing that grows with the parts."""
        return replace(self, smoothing=self.smoothing * factor)
