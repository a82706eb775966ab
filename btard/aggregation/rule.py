"""What an aggregation rule is: how it makes one row of many, and how others can verify that it was followed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import torch

from btard.aggregation.rows import Rows


@dataclass(frozen=True)
class AggregationResult:
    """`value`: (d,) float32. `residual`: how far the value is from satisfying the rule's own equation, relative; 0 for
    a rule in closed form."""

    value: torch.Tensor
    residual: float = 0.0


@dataclass(frozen=True)
class FixedPoint:
    """The result v of a rule solves sum_i (x_i - v) min(1, radius / ||x_i - v||) = 0 over all rows x_i.

    A peer that knows the products of these summands with a random direction can check the sum, and needs no row.

    Attributes:
        radius: in the unit of the rows, above zero; infinite where nothing is clipped.
        residual: the most that an honest result leaves of the sum, relative to the sum of the summands' lengths.
    """

    radius: float
    residual: float


class Rule(ABC):
    """One way to make one row of many. A subclass is a frozen dataclass whose fields are the rule's parameters.

    Every field has a type that text can be read as (bool, int, float, str), bounded by pydantic's `Annotated[...,
    Field(...)]` where need be, and a default. The same rows in the same order must give the same result on every
    machine, up to `accuracy`: a peer that publishes another result is banned.
    """

    accuracy: ClassVar[float] = 2.0**-20
    """The most by which the results of two machines differ, as a share of the median length of the rows; beyond the
    rounding of the result itself to float32. The default is for sums in float64, or solvers that stop at 10^-6."""

    @abstractmethod
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Aggregate (n, d) float32 with d >= 1, or n rows of shape (d,): finite values, up to 3.4e38, of whatever size.

        Args:
            rows: in roster order.
            n_byzantine: how many of them may lie: `tolerated(n)` in a swarm.

        Raises:
            BadRow: a row cannot be used (a ValueError with the row's `index`); `rows.check_rows` finds such rows.
            ValueError: everything else that is malformed, or `check` refuses.
        """

    def check(self, n: int, f: int) -> str | None:
        """Return why the rule cannot make one row of n of which f may lie, as a sentence without a full stop, or None
        if it can. A step in which it cannot stops the run."""
        return None

    def tolerated(self, n: int) -> int:
        """Return how many of n rows may lie without moving the result far: fewer than half, unless the rule's own
        parameters say less."""
        return max(0, (n - 1) // 2)

    @property
    def equation(self) -> FixedPoint | None:
        """The equation by which a sum of products verifies the result. None, the default: others can only aggregate the
        committed rows once more, and drawn auditors do that in every step."""
        return None

    def scaled(self, factor: float) -> Self:
        """Return the rule for parts whose typical length is `factor` times that of the parts which the parameters are
        meant for, since parts grow when peers leave. A rule with a parameter that is a length multiplies it."""
        return self
