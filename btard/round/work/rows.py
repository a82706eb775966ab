"""The heavy work that a step asks its driver for: pure functions of wire bytes, run in a worker thread."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from btard.aggregation import finite_rows
from btard.hashing import digest
from btard.round.actions import AggregateAgain, AggregateRows, InspectRow, MeasureRows
from btard.round.aggregates import aggregate_excess, combined
from btard.round.rules import AggregationRules
from btard.vectors.partition import Partition, block_from_wire, from_wire, rows_from_wire, to_wire
from btard.verification.projection import Measure, length_of, norm_of, projection_of
from btard.verification.scalars import (
    clipped,
    doubtful,
    length_excess,
)
from btard.verification.thresholds import LENGTH
from btard.vocabulary import WireType


def encode_parts(
    vector: torch.Tensor, count: int, wire: WireType, rules: AggregationRules
) -> tuple[tuple[memoryview, ...], tuple[bytes, ...]]:
    """Cut a float32 vector of shape (d,) into the wire bytes of `count` parts, and hash each.

    Where the rules limit norms (BTARD-Clipped-SGD), every part is clipped first.
    """
    partition = Partition(len(vector), count, wire)
    flat = to_wire(_clip_parts(vector, partition, rules.part_norm(count)), wire)
    parts = tuple(partition.view(flat, part) for part in range(count))
    return parts, tuple(digest(part) for part in parts)


def _clip_parts(vector: torch.Tensor, partition: Partition, limit: float) -> torch.Tensor:
    if limit == math.inf:
        return vector
    result = vector.clone()
    for part in range(partition.count):
        start, end = partition.bounds(part)
        norm = length_of(vector[start:end])
        if norm > limit:
            result[start:end] *= limit / norm
    return result


@dataclass(frozen=True)
class Aggregated:
    """The aggregate of a part.

    Attributes:
        payload: its wire bytes.
        refused: positions of the rows left out because they hold NaN or infinity.
        too_long: positions of the rows longer than the rules allow.
    """

    payload: memoryview
    refused: tuple[int, ...]
    too_long: tuple[int, ...]


def aggregate_rows(action: AggregateRows, wire: WireType) -> Aggregated:
    """Aggregate the rows of one part, and look for rows that nobody may send."""
    vectors, rules = block_from_wire(action.rows, wire), action.rules
    limit = rules.part_norm(action.parts)
    too_long: tuple[int, ...] = ()
    if limit < math.inf:
        too_long = tuple(i for i, v in enumerate(vectors) if LENGTH.accuses(row_length_excess(v, limit, wire)))
    value, refused = combined(vectors, rules, action.parts)
    return Aggregated(to_wire(value, wire), refused, too_long)


def row_length_excess(row: torch.Tensor, limit: float, wire: WireType) -> float:
    """Return how many times the longest that BTARD-Clipped-SGD allows a row is; `limit` is `part_norm` of the rules."""
    return 0.0 if limit == math.inf else length_excess(length_of(row), limit, len(row), wire)


@dataclass(frozen=True)
class Measured:
    """What projections say.

    Attributes:
        own: (product, norm) of the own vector, one a part; none for a validator.
        column: (product, norm) of everyone's row of the own part.
        aggregate_norms: norm of each part's aggregate.
        doubts: parts whose aggregate lies too far from the own vector.
        not_finite: parts whose aggregate holds NaN or infinity; all numbers about them are 0.
    """

    own: tuple[tuple[float, float], ...]
    column: tuple[tuple[float, float], ...]
    aggregate_norms: tuple[float, ...]
    doubts: tuple[int, ...]
    not_finite: tuple[int, ...]


def measure_rows(action: MeasureRows) -> Measured:
    """Project the own vector and the rows of the own part."""
    partition, tau = action.partition, action.tau
    projection = projection_of(action.randomness, partition)
    aggregates = aggregates_of(partition, action.flat)
    norms = projection.aggregate_norms(aggregates)
    not_finite = tuple(part for part, norm in enumerate(norms) if not math.isfinite(norm))
    for part in not_finite:
        aggregates[part] = torch.zeros_like(aggregates[part])
    own: list[Measure] = []
    doubts: list[int] = []
    if action.own:
        parts = rows_from_wire(action.own, partition.wire)
        own = projection.vector(parts, aggregates)
        for part, measure in enumerate(own):
            # Without the row's own norm first, which is rarely needed.
            if doubtful(measure.norm, 0.0, tau) and doubtful(measure.norm, norm_of(parts[part].numpy()), tau):
                doubts.append(part)
    column: list[Measure] = []
    if action.part is not None:
        column = projection.rows(action.part, rows_from_wire(action.column, partition.wire), aggregates[action.part])
    return Measured(
        own=tuple((0.0, 0.0) if part in not_finite else (clipped(m, tau), m.norm) for part, m in enumerate(own)),
        column=tuple((clipped(m, tau), m.norm) for m in column),
        aggregate_norms=tuple(norms),
        doubts=tuple(part for part in doubts if part not in not_finite),
        not_finite=not_finite,
    )


def aggregates_of(partition: Partition, flat: memoryview) -> list[torch.Tensor]:
    """Return the aggregates of all parts inside their wire bytes, float32."""
    return rows_from_wire([partition.view(flat, part) for part in range(partition.count)], partition.wire)


@dataclass(frozen=True)
class Inspected:
    """One row of one part.

    Attributes:
        product, norm: its scalars against the aggregate; anything if there is no randomness yet, and 0 around an
            aggregate with NaN or infinity, as everybody publishes.
        finite: whether it holds no NaN and no infinity.
        too_long: its `row_length_excess`.
    """

    product: float
    norm: float
    finite: bool
    too_long: float


def inspect_row(action: InspectRow, rules: AggregationRules) -> Inspected:
    """Measure a row that somebody shows."""
    partition = action.partition
    row = from_wire(action.row, partition.wire)
    finite = finite_rows([row])[0]
    too_long = row_length_excess(row, rules.part_norm(partition.count), partition.wire)
    if not action.randomness:
        return Inspected(0.0, 0.0, finite, too_long)
    aggregate = from_wire(partition.view(action.flat, action.part), partition.wire)
    if not finite_rows([aggregate])[0]:
        return Inspected(0.0, 0.0, finite, too_long)
    measure = projection_of(action.randomness, partition).row(action.part, row, aggregate)
    return Inspected(clipped(measure, action.tau), measure.norm, finite, too_long)


def compare_again(action: AggregateAgain) -> float:
    """Return the `aggregate_excess` of a part whose rows have been collected."""
    partition = action.partition
    aggregate = partition.view(action.flat, action.part)
    return aggregate_excess(aggregate, action.rows, partition.wire, action.rules, partition.count)
