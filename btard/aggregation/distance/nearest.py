"""The mean of the rows that lie nearest to something: what CGE, MoNNA and Aksel differ in is to what."""

from __future__ import annotations

import numpy as np
import torch

from btard.aggregation.averages import mean_of
from btard.aggregation.distance.ordered import squares_around
from btard.aggregation.rows import CheckedRows
from btard.aggregation.rule import AggregationResult


def mean_of_nearest(rows: CheckedRows, origin: torch.Tensor | None, count: int) -> AggregationResult:
    """Return the mean of the `count` rows nearest to a (d,) float32 origin, or to zero; of rows at one distance, those
    that come first."""
    order = np.argsort(squares_around(rows, origin), kind="stable")
    chosen = tuple(sorted(order[:count].tolist()))
    return AggregationResult(mean_of(rows, chosen), selected=chosen)
