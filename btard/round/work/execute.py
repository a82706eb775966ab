"""From what a step asks for to the answer: pure functions of the action and the rules, to be run in a worker thread."""

from __future__ import annotations

from btard.round.actions import (
    AggregateAgain,
    AggregateRows,
    EncodeParts,
    InspectRow,
    MeasureRows,
    SketchVector,
    Work,
)
from btard.round.rules import StepRules
from btard.round.work.answers import (
    AggregateCompared,
    Answer,
    PartsEncoded,
    RowInspected,
    RowsAggregated,
    RowsMeasured,
    VectorSketched,
)
from btard.round.work.rows import aggregate_rows, compare_again, encode_parts, inspect_row, measure_rows
from btard.round.work.seals import sketch


def execute(action: Work, rules: StepRules) -> Answer:
    """Do what an action asks for, and return the answer; equal arguments give equal bytes."""
    aggregation = rules.aggregation
    match action:
        case EncodeParts(attempt, count, vector):
            return PartsEncoded(attempt, *encode_parts(vector, count, rules.wire, aggregation))
        case AggregateRows(attempt):
            return RowsAggregated(attempt, aggregate_rows(action, rules.wire))
        case MeasureRows(attempt):
            return RowsMeasured(attempt, measure_rows(action))
        case InspectRow(attempt, author=author, part=part):
            return RowInspected(attempt, author, part, inspect_row(action, aggregation))
        case AggregateAgain(attempt, part=part):
            return AggregateCompared(attempt, part, compare_again(action))
        case SketchVector(step, direction, vector):
            return VectorSketched(step, sketch(direction, vector))
