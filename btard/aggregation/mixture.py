"""Several rules of which every step uses one, drawn by how often each is wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from btard.aggregation.draws import drawn, seed_at
from btard.aggregation.rows import Rows
from btard.aggregation.rule import AggregationResult, Rule


@dataclass(frozen=True)
class Mixture(Rule):
    """Rules of which `at` draws one for a step. Without a step it aggregates nothing.

    Attributes:
        rules: at least two.
        frequencies: how often each is used, in any unit; above zero.
    """

    rules: tuple[Rule, ...]
    frequencies: tuple[float, ...]

    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        """Raise ValueError: only the rule of a step aggregates."""
        raise ValueError(
            "a mixture of rules aggregates nothing by itself: take the rule of a step, `rule.at(step, seed)`"
        )

    def at(self, step: int, seed: int = 0) -> Rule:
        """Return the rule of a step, the same on every machine."""
        share = int(drawn(seed_at(len(self.rules), seed, step), 1)[0]) / 2.0**64 * sum(self.frequencies)
        for rule, frequency in zip(self.rules, self.frequencies, strict=True):
            share -= frequency
            if share < 0:
                return rule.at(step, seed)
        return self.rules[-1].at(step, seed)  # rounding has left something of the last one's share

    def check(self, n: int, f: int) -> str | None:
        """Return the first refusal of a rule, since any may be drawn."""
        return next((refusal for rule in self.rules if (refusal := rule.check(n, f)) is not None), None)

    def tolerated(self, n: int) -> int:
        """Return what all of them tolerate."""
        return min(rule.tolerated(n) for rule in self.rules)

    def scaled(self, factor: float) -> Self:
        """Return it with all rules scaled."""
        return replace(self, rules=tuple(rule.scaled(factor) for rule in self.rules))
