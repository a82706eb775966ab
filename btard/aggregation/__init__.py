"""Aggregation rules: what makes one row of the rows of many senders, some of whom lie.

`rules` is the registry, `centered_clip` the rule of the protocol; `fixed_point` solves it on n numbers, `chunks` makes
the passes over the long dimension, `rows` says which input is accepted.
"""

from btard.aggregation.centered_clip import CenteredClipResult, centered_clip
from btard.aggregation.rows import BadRow, Rows, finite_rows
from btard.aggregation.rules import AggregationResult, AggregationRule, RuleName, get_rule

__all__ = [
    "AggregationResult",
    "AggregationRule",
    "BadRow",
    "CenteredClipResult",
    "Rows",
    "RuleName",
    "centered_clip",
    "finite_rows",
    "get_rule",
]
