"""Aggregation rules: what makes one row of the rows of many senders, some of whom lie.

`rule` says what a rule is, `registry` finds one by name. Each rule is a file: `centered_clip`, whose equation
`fixed_point` solves on n numbers and `short_rows` for few coordinates, `mean`, `coordinate_median`, `trimmed_mean`.
`chunks` makes the passes over the long dimension, `sorted_rows` sorts along the short one, `rows` says which input is
accepted.
"""

from btard.aggregation.centered_clip import CenteredClip, CenteredClipResult, centered_clip
from btard.aggregation.registry import canonical, make_rule, rule_and_tau
from btard.aggregation.rows import BadRow, Rows, finite_rows
from btard.aggregation.rule import AggregationResult, FixedPoint, Rule

__all__ = [
    "AggregationResult",
    "BadRow",
    "CenteredClip",
    "CenteredClipResult",
    "FixedPoint",
    "Rows",
    "Rule",
    "canonical",
    "centered_clip",
    "finite_rows",
    "make_rule",
    "rule_and_tau",
]
