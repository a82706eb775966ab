"""Aggregation rules: what makes one row of the rows of many senders, some of whom lie.

`rule` says what a rule is, `registry` finds one by name, `any_rows` aggregates rows that need not be finite. Each rule
is a file: below `coordinate` those that treat every coordinate alike, below `clipping` CenteredClip with its equation,
below `distance` those that compare whole rows. `chunks` makes the passes over the long dimension, `rows` says which
input is accepted.
"""

from btard.aggregation.any_rows import aggregate_any
from btard.aggregation.before.pre_aggregator import PreAggregator
from btard.aggregation.clipping.centered_clip import CenteredClip, CenteredClipResult, centered_clip
from btard.aggregation.composed import Composed
from btard.aggregation.mixture import Mixture
from btard.aggregation.registry import canonical, make_rule, rule_and_tau
from btard.aggregation.rows import BadRow, Rows, finite_rows
from btard.aggregation.rule import AggregationResult, FixedPoint, Grain, Proof, Rule

__all__ = [
    "AggregationResult",
    "BadRow",
    "CenteredClip",
    "CenteredClipResult",
    "Composed",
    "FixedPoint",
    "Grain",
    "Mixture",
    "PreAggregator",
    "Proof",
    "Rows",
    "Rule",
    "aggregate_any",
    "canonical",
    "centered_clip",
    "finite_rows",
    "make_rule",
    "rule_and_tau",
]
