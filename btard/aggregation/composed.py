"""A rule behind pre-aggregators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch

from btard.aggregation.before.pre_aggregator import PreAggregator
from btard.aggregation.rows import Rows
from btard.aggregation.rule import AggregationResult, Rule


@dataclass(frozen=True)
class Composed(Rule):
    """What a rule makes of what pre-aggregators make of the rows. No equation of the rule holds for the given rows, so
    auditors aggregate again.

    Attributes:
        before: the pre-aggregators, at least one, in their order.
        final: the rule.
    """

    before: tuple[PreAggregator, ...]
    final: Rule

    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Return what the final rule makes. Rows are selected if each prepared one stands for a given one."""
        prepared: Sequence[torch.Tensor] | Rows = rows
        f = n_byzantine
        for each in self.before:
            n = len(prepared)
            prepared = each.prepared(prepared, n_byzantine=f)
            _, f = each.remaining(n, f)
        result = self.final.aggregate(prepared, n_byzantine=f)
        traced = all(each.one_to_one for each in self.before)
        return AggregationResult(result.value, result.residual, result.selected if traced else None)

    def check(self, n: int, f: int) -> str | None:
        """Return the first refusal on the way."""
        for each in self.before:
            refusal = each.check(n, f)
            if refusal is not None:
                return refusal
            n, f = each.remaining(n, f)
        return self.final.check(n, f)

    def tolerated(self, n: int) -> int:
        """Return the most liars that all can do with, fewer than half."""
        return max((f for f in range(max(1, (n + 1) // 2)) if self._allows(n, f)), default=0)

    def at(self, step: int, seed: int = 0) -> Composed:
        """Return it with the draws of a step, for the rule as for its pre-aggregators."""
        return Composed(tuple(each.at(step, seed) for each in self.before), self.final.at(step, seed))

    def scaled(self, factor: float) -> Self:
        """Return it with all lengths scaled."""
        return replace(self, before=tuple(each.scaled(factor) for each in self.before), final=self.final.scaled(factor))

    def _allows(self, n: int, f: int) -> bool:
        if self.check(n, f) is not None:
            return False
        for each in self.before:
            n, f = each.remaining(n, f)
        return f <= self.final.tolerated(n)
