"""The published files of a run, byte for byte in their form: `study`, `eval`, `config` and `config.json`.

A table's header begins with "# ", fields are separated by tabs, every row is preceded by a newline, so that the last
line has no end. Numbers of float32 are written as %.8e, not a number as nan.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from btard.lab.metrics.study import STUDY_COLUMNS
from btard.lab.metrics.tables import Row, TableName, TableSink, Value

_EVALUATION_COLUMNS = ("Step number", "Cross-accuracy")

Config = Mapping[str, object]
"""Published names of options, and their values."""


class LegacyFiles(TableSink):
    """Writes the two tables row by row."""

    def __init__(self, directory: Path, config: Config) -> None:
        """Write `config` and `config.json`, and begin the tables anew."""
        listed = "".join(f"\n- {name}: {value}" for name, value in config.items())
        (directory / "config").write_text(f"Configuration{listed}\n", encoding="utf-8")
        (directory / "config.json").write_text(json.dumps(config, indent="\t"), encoding="utf-8")
        self._study = (directory / "study").open("w", encoding="utf-8", newline="")
        self._evaluations = (directory / "eval").open("w", encoding="utf-8", newline="")
        self._study.write(header(STUDY_COLUMNS))
        self._evaluations.write(header(_EVALUATION_COLUMNS))

    def write(self, table: TableName, row: Row) -> None:
        """Write rows of study and evaluations; the published program has no other."""
        if table is TableName.STUDY:
            self._study.write(line([row[name] for name in STUDY_COLUMNS]))
            self._study.flush()
        elif table is TableName.EVALUATIONS:
            self._evaluations.write(line([row["step"], row["accuracy"]]))
            self._evaluations.flush()

    def close(self) -> None:
        self._study.close()
        self._evaluations.close()


def header(names: Sequence[str]) -> str:
    """Return the first line of a table."""
    return "# " + "\t".join(names)


def line(values: Sequence[Value]) -> str:
    """Return one row, its newline in front."""
    return "\n" + "\t".join(f"{value:.8e}" if isinstance(value, float) else str(value) for value in values)
