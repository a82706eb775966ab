"""Aggregation of rows that need not be finite, under every rule: those that are not are certainly Byzantine.

A swarm bans the author of such a row; the laboratory leaves it out and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from btard.aggregation.rows import BadRow, Rows, finite_rows
from btard.aggregation.rule import AggregationResult, Rule

Made = TypeVar("Made")


class NoFiniteRow(ValueError):
    """There is nothing to aggregate."""


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
    result, kept = of_finite_rows(lambda some, f: rule.aggregate(some, n_byzantine=f), rows, n_byzantine)
    if result.selected is not None:
        result = replace(result, selected=tuple(kept[position] for position in result.selected))
    return _in_own_memory(result, rows)


def of_finite_rows(make: Callable[[Rows, int], Made], rows: Rows, f: int) -> tuple[Made, Sequence[int]]:
    """Return what is made of all rows or, where not all are finite, of those that are, and their positions.

    Args:
        make: makes something of rows of which so many may lie; raises BadRow where one is not finite.
        f: how many of all rows may lie; each that is left out is one of them.

    Raises:
        NoFiniteRow: no row is finite.
        BadRow: `make` refuses one that is.
    """
    try:
        return make(rows, f), range(len(rows))
    except BadRow:
        kept = [index for index, finite in enumerate(finite_rows(rows)) if finite]
    if not kept:
        raise NoFiniteRow(f"none of the {len(rows)} rows is finite, so there is nothing to aggregate")
    try:
        return make([rows[index] for index in kept], max(0, f - len(rows) + len(kept))), kept  # type: ignore[arg-type]
    except BadRow as refusal:
        raise BadRow(kept[refusal.index], refusal.reason) from None


def _in_own_memory(
    result: AggregationResult, rows: Sequence[torch.Tensor | NDArray[np.float32]] | Rows
) -> AggregationResult:
    """Return a result whose value no later change of the rows can reach: rules of other packages may forget it."""
    place = result.value.untyped_storage().data_ptr()
    tensors = (torch.as_tensor(row) for row in rows)
    if any(row.untyped_storage().data_ptr() == place for row in tensors):
        return replace(result, value=result.value.clone())
    return result
