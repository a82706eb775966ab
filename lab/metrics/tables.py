"""The tables of a run, what their columns mean, and the run's own copy of them in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from btard.lab.metrics.study import STUDY_COLUMNS

if TYPE_CHECKING:
    import pandas

Value = int | float | str
Row = Mapping[str, Value]


class TableName(StrEnum):
    """A table of a run."""

    STUDY = "study"
    EVALUATIONS = "evaluations"
    STEPS = "steps"
    BANS = "bans"


@dataclass(frozen=True)
class Column:
    """A column: its type, what it holds, and the unit of a number."""

    name: str
    kind: type
    meaning: str
    unit: str = ""


_STEP = Column("step", int, "steps done before", "steps")

SCHEMA: Mapping[TableName, tuple[Column, ...]] = {
    TableName.STUDY: tuple(
        Column(name, int if name in STUDY_COLUMNS[:2] else float, "of the published study") for name in STUDY_COLUMNS
    ),
    TableName.EVALUATIONS: (
        _STEP,
        Column("accuracy", float, "share of held-out samples that the model is right about, nan without labels"),
        Column("loss", float, "mean loss on held-out samples, without penalties"),
        Column("parameters", str, "BLAKE3 of the float32 parameters"),
    ),
    TableName.STEPS: (
        _STEP,
        Column("loss", float, "mean loss of honest workers on their batches, penalties included"),
        Column("learning_rate", float, "of the step"),
        Column("members", int, "workers that submitted", "workers"),
        Column("attacking", int, "workers that attacked", "workers"),
        Column("left_out", int, "rows that were not finite", "rows"),
        Column("clipped", float, "the most rows that the rule clipped in a part, nan if it clips none", "rows"),
        Column("iterations", float, "the most that the rule took in a part, nan in closed form"),
        Column("residual", float, "relative residual of the rule's own equation"),
        Column("sent", float, "bytes that a worker sends", "bytes"),
        Column("received", float, "bytes that a worker receives", "bytes"),
    ),
    TableName.BANS: (
        _STEP,
        Column("worker", int, "which is banned"),
        Column("reason", str, "lottery, or the offence that was proven"),
        Column("honest", int, "1 if it never attacked"),
    ),
}


class TableSink(Protocol):
    """Wants every row as it is measured."""

    def write(self, table: TableName, row: Row) -> None:
        """Take one row, with all columns of the table."""

    def close(self) -> None:
        """Write what is left; nothing comes afterwards."""


@dataclass
class Tables:
    """All rows of a run, in memory, and on their way into sinks."""

    sinks: list[TableSink] = field(default_factory=list)
    rows: dict[TableName, list[Row]] = field(default_factory=lambda: {name: [] for name in TableName})

    def write(self, table: TableName, row: Row) -> None:
        """Keep a row, and hand it on."""
        self.rows[table].append(row)
        for sink in self.sinks:
            sink.write(table, row)

    def replay(self, rows: Mapping[str, Sequence[Row]]) -> None:
        """Write all rows that `state` has returned, before any other."""
        for name, some in rows.items():
            for row in some:
                self.write(TableName(name), row)

    def state(self) -> dict[str, list[dict[str, Value]]]:
        """Return all rows."""
        return {str(name): [dict(row) for row in rows] for name, rows in self.rows.items()}

    def frame(self, table: TableName) -> pandas.DataFrame:
        """Return a table as a pandas DataFrame, typed by the schema."""
        import pandas

        kinds = {int: "int64", float: "float64", str: "object"}
        columns = SCHEMA[table]
        frame = pandas.DataFrame.from_records(
            [dict(row) for row in self.rows[table]], columns=[c.name for c in columns]
        )
        return frame.astype({column.name: kinds[column.kind] for column in columns})

    def close(self) -> None:
        """Close all sinks."""
        for sink in self.sinks:
            sink.close()
