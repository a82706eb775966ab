"""The aggregate of a part: how the run's rule makes it, and how far a published one is from what the rows give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch

from btard.aggregation import BadRow, CenteredClip, FixedPoint, Rule, finite_rows, make_rule
from btard.errors import UserError
from btard.hashing import Payload
from btard.round.rules import AggregationRules, StepAggregation
from btard.vectors.partition import from_wire, rows_from_wire
from btard.verification.scalars import aggregate_error, recomputation_excess, sum_tolerance
from btard.vocabulary import WireType


@lru_cache(maxsize=64)
def part_rule(rules: AggregationRules, parts: int) -> Rule:
    """Return the rule for one of `parts` parts, whose lengths grow with the parts: that of a step, if the rules are of
    one.

    Raises:
        UserError: no such rule is installed here.
    """
    rule = make_rule(rules.rule)
    if isinstance(rule, CenteredClip):
        rule = CenteredClip(tau=rules.tau)
    if isinstance(rules, StepAggregation):
        rule = rule.at(rules.step, rules.seed)
    return rule.scaled(rules.growth(parts))


def part_equation(rules: AggregationRules, parts: int) -> FixedPoint | None:
    """Return the equation that a part's aggregate solves, or None under rules that are recomputed."""
    return part_rule(rules, parts).equation


def part_tau(rules: AggregationRules, parts: int) -> float:
    """Return the radius beyond which published products are clipped: infinite where nothing is, as under the mean and
    under rules that are recomputed."""
    equation = part_equation(rules, parts)
    return math.inf if equation is None else equation.radius


def refusal(rules: AggregationRules, rows: int) -> str | None:
    """Return why the rule cannot make one row of so many, or None if it can."""
    rule = make_rule(rules.rule)
    return rule.check(rows, rule.tolerated(rows))


def check_aggregation(rules: AggregationRules, auditors: int | None) -> None:
    """Check that a run of `reference_peers` can aggregate so.

    Raises:
        UserError: the rule cannot make one row of so many, or needs no auditors.
    """
    reason = refusal(rules, rules.reference_peers)
    if reason is not None:
        raise UserError(f"{rules.reference_peers} peers cannot aggregate by {rules.rule}: {reason}")
    if auditors is not None and part_equation(rules, 1) is not None:
        raise UserError(f"a sum proves what {rules.rule} gives, so nobody audits it: leave the number of auditors away")


def combined(
    rows: torch.Tensor | Sequence[torch.Tensor], rules: AggregationRules, parts: int
) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Aggregate the rows of one part, one a worker in roster order.

    Rows that hold NaN or infinity are left out, as everybody must. Without any other row the aggregate is zero, and so
    it is where the rule refuses what is left.

    Args:
        rows: n vectors of one length, float32; not none.
        parts: how many parts there are.

    Returns:
        The aggregate, float32, and the positions of the rows that are left out.
    """
    rule = part_rule(rules, parts)
    if len(rows[0]) == 0:
        return rows[0], ()
    try:
        # Rules look for numbers that are not finite themselves; a look before theirs would be a pass over all rows.
        return rule.aggregate(rows, n_byzantine=rule.tolerated(len(rows))).value, ()
    except BadRow:
        finite = finite_rows(rows)
    refused = tuple(index for index, good in enumerate(finite) if not good)
    kept = [row for row, good in zip(rows, finite, strict=True) if good]
    lying = rule.tolerated(len(kept))
    if not kept or rule.check(len(kept), lying) is not None:
        return torch.zeros_like(rows[0]), refused
    return rule.aggregate(kept, n_byzantine=lying).value, refused


def aggregate_excess(
    payload: Payload, rows: Sequence[Payload], wire: WireType, rules: AggregationRules, parts: int
) -> float:
    """Return how many times its tolerance a published aggregate is off what all rows of its part give (verification 3,
    audits). Rows that are not finite are left out, as an owner must.

    Args:
        payload: the wire bytes of the aggregate.
        rows: those of all rows, one a worker in roster order.
        parts: how many parts there are.
    """
    received = from_wire(payload, wire)
    if not finite_rows([received])[0]:
        return math.inf
    equation = part_equation(rules, parts)
    vectors = rows_from_wire(rows, wire)
    if equation is None:
        expected, refused = combined(vectors, rules, parts)
        lengths = [_length(row) for index, row in enumerate(vectors) if index not in refused]
        accuracy = part_rule(rules, parts).accuracy
        difference = _length(received.double() - expected.double())
        return recomputation_excess(difference, lengths, _length(expected), len(received), wire, accuracy)
    return _imbalance(received.double(), vectors, equation, wire)


def _imbalance(aggregate: torch.Tensor, rows: Sequence[torch.Tensor], equation: FixedPoint, wire: WireType) -> float:
    """Return how many times its tolerance ||sum_i (g_i - ghat) min(1, tau / norm_i)|| is: the fixed point of the rows
    itself, not a projection of it."""
    tau, total, norms = equation.radius, torch.zeros_like(aggregate), []
    for row in (row.double() for row in rows if finite_rows([row])[0]):
        difference = row - aggregate
        norms.append(_length(difference))
        total += difference * (min(1.0, tau / norms[-1]) if norms[-1] else 1.0)
    error = aggregate_error(_length(aggregate), len(aggregate), wire)
    tolerance = float(sum_tolerance(norms, tau, residual=equation.residual, error=error))
    length = _length(total)
    return length / tolerance if tolerance > 0 else (math.inf if length > 0 else 0.0)


def _length(vector: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))
