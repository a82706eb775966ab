"""Aggregation of rows that need not be finite, under every rule: those that are not are certainly Byzantine.

A swarm bans the author of such a row; the laboratory leaves it out and goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from btard.aggregation.rows import BadRow, Rows, finite_rows
from btard.aggregation.rule import AggregationResult, Rule


def aggregate_any(rule: Rule, rows: Rows, *, n_byzantine: int) -> AggregationResult:
    """Aggregate the rows that are finite, and declare as many fewer of them Byzantine as are not.

    Args:
        rule: for the rows that are left, of which max(0, f - number of rows left out) may lie.
        rows: (n, d) float32, or n rows of shape (d,), of any values.
        n_byzantine: f, how many of all rows are declared to lie.

    Returns:
        What the rule makes of them, in memory of its own. `selected` are positions among the rows as given.

    Raises:
        BadRow: a row has a wrong shape, type or device.
        ValueError: no row is finite, or the rule refuses those that are left.
    """
    try:
        return _in_own_memory(rule.aggregate(rows, n_byzantine=n_byzantine), rows)
    except BadRow:
        good = [index for index, finite in enumerate(finite_rows(rows)) if finite]
    if not good:
        raise ValueError(f"none of the {len(rows)} rows is finite, so there is nothing to aggregate")
    out = len(rows) - len(good)
    try:
        result = rule.aggregate([rows[index] for index in good], n_byzantine=max(0, n_byzantine - out))  # type: ignore[arg-type]
    except BadRow as refusal:
        raise BadRow(good[refusal.index], refusal.reason) from None
    selected = None if result.selected is None else tuple(good[index] for index in result.selected)
    return _in_own_memory(replace(result, selected=selected), rows)


def _in_own_memory(
    result: AggregationResult, rows: Sequence[torch.Tensor | NDArray[np.float32]] | Rows
) -> AggregationResult:
    """Return a result whose value no later change of the rows can reach: rules of other packages may forget it."""
    place = result.value.untyped_storage().data_ptr()
    tensors = (torch.as_tensor(row) for row in rows)
    if any(row.untyped_storage().data_ptr() == place for row in tensors):
        return replace(result, value=result.value.clone())
    return result
