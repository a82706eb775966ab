"""What an aggregation rule is: how it makes one row of many, and how others can verify that it was followed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Self

import torch

from btard.aggregation.rows import Rows


class Grain(Enum):
    """What a rule treats alike: it decides whether parts of the rows may be aggregated one by one."""

    COORDINATE = "coordinate-wise"
    """Each coordinate of the result depends on that coordinate of the rows alone: parts give what whole rows give."""

    VECTOR = "vector-wise"
    """The result depends on lengths or distances of rows: parts may be treated otherwise than whole rows."""


class Proof(Enum):
    """How the peers of a swarm verify that the owner of a part has followed the rule."""

    EQUATION = "equation"
    """Published products show that the result solves the rule's equation."""

    AUDITORS = "auditors"
    """Drawn auditors aggregate the committed rows once more."""


@dataclass(frozen=True)
class AggregationResult:
    """What a rule makes of n rows.

    Attributes:
        value: (d,) float32, in memory of its own.
        residual: how far the value is from satisfying the rule's own equation, relative; 0 for a rule in closed form.
        selected: positions of the rows whose mean the value is, ascending, under rules that select whole rows; None
            under all others. Rows that tie are taken by position, the first ones first.
    """

    value: torch.Tensor
    residual: float = 0.0
    selected: tuple[int, ...] | None = None


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

    grain: ClassVar[Grain] = Grain.VECTOR
    """Whether the rule looks at coordinates or at whole rows."""

    @abstractmethod
    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Aggregate (n, d) float32 with d >= 1, or n rows of shape (d,): finite values, up to 3.4e38, of whatever size.

        The same tensor may stand for several rows, as that which all attackers send; it is read once.

        Args:
            rows: in roster order.
            n_byzantine: f, how many of them are declared to lie, however many do: `tolerated(n)` in a swarm.

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

    def upper_bound(self, n: int, f: int) -> float | None:
        """Return eta: below this ratio of the honest rows' standard deviation to the length of their mean, theory
        promises that f of n liars cannot turn the result away from that mean. None where it promises nothing."""
        return None

    def at(self, step: int, seed: int = 0) -> Rule:
        """Return the rule for one step of a run, with the draws of that step: itself, unless the rule draws.

        Args:
            step: its number, from 0.
            seed: of the run. The same step and seed give the same rule on every machine.
        """
        return self

    @property
    def equation(self) -> FixedPoint | None:
        """The equation by which a sum of products verifies the result. None, the default: others can only aggregate the
        committed rows once more, and drawn auditors do that in every step."""
        return None

    @property
    def proof(self) -> Proof:
        """How the peers of a swarm verify a result."""
        return Proof.AUDITORS if self.equation is None else Proof.EQUATION

    def scaled(self, factor: float) -> Self:
        """Return the rule for parts whose typical length is `factor` times that of the parts which the parameters are
        meant for, since parts grow when peers leave. A rule with a parameter that is a length multiplies it."""
        return self
