"""The runs of a sweep as tables: one row a run, and one row a run and step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from btard.errors import UserError
from btard.lab.metrics.tables import TableName
from btard.lab.training.run_directory import read_manifest
from btard.lab.training.settings import ExperimentSettings


@dataclass(frozen=True)
class CompleteRun:
    """What a complete run has left.

    Attributes:
        labels: what sets it apart, its seed included.
        settings: of the run, but for its output.
        tables: by name.
        data: what it was trained and measured on, with the numbers of samples.
    """

    directory: Path
    labels: Mapping[str, object]
    settings: ExperimentSettings
    tables: Mapping[TableName, pd.DataFrame]
    data: str


def read_result(directory: Path, settings: ExperimentSettings, labels: Mapping[str, object]) -> CompleteRun:
    """Read a run's tables, whichever format they have.

    Raises:
        UserError: a table is missing or cannot be read.
    """
    tables = {name: _table(directory, name) for name in TableName}
    return CompleteRun(directory, labels, settings, tables, str(read_manifest(directory).get("data", settings.task)))


def data_of(results: Iterable[CompleteRun]) -> str:
    """Return what runs were trained and measured on, each once, and how many runs there are."""
    return told_counts(result.data for result in results)


def told_counts(data: Iterable[str]) -> str:
    """Return each of what runs were trained on once, in their order, with the number of its runs."""
    return "; ".join(f"{kind}, {count} runs" for kind, count in Counter(data).items())


def _table(directory: Path, name: TableName) -> pd.DataFrame:
    for path, read in ((directory / f"{name}.parquet", pd.read_parquet), (directory / f"{name}.csv", pd.read_csv)):
        if path.exists():
            try:
                return read(path)
            except (OSError, ValueError) as error:
                raise UserError(f"the table {path} cannot be read: {error}") from None
    raise UserError(f"{directory} has no table {name}, neither as parquet nor as CSV")


def runs_frame(results: Iterable[CompleteRun]) -> pd.DataFrame:
    """Return one row a run: its labels, and what it came to.

    `final` and `best` accuracy (share), `final_loss` (nats), `steps`, `bans`, `honest_bans`, and `last_ban`: the step
    of the last ban, nan without one.
    """
    rows = []
    for result in results:
        evaluations, bans = result.tables[TableName.EVALUATIONS], result.tables[TableName.BANS]
        last = evaluations.iloc[-1] if len(evaluations) else None
        rows.append(
            {
                **result.labels,
                "final": float("nan") if last is None else float(last["accuracy"]),
                "best": float(evaluations["accuracy"].max()) if len(evaluations) else float("nan"),
                "final_loss": float("nan") if last is None else float(last["loss"]),
                "steps": len(result.tables[TableName.STEPS]),
                "bans": len(bans),
                "honest_bans": int(bans["honest"].sum()) if len(bans) else 0,
                "last_ban": float(bans["step"].max()) if len(bans) else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def steps_frame(results: Iterable[CompleteRun], table: TableName) -> pd.DataFrame:
    """Return the rows of one table of all runs, each with the labels of its run before it."""
    frames = []
    for result in results:
        frame = result.tables[table].copy()
        for place, (key, value) in enumerate(result.labels.items()):
            frame.insert(place, key, value)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
