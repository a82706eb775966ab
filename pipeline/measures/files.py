"""What a trial leaves: its settings and scores as JSON, its steps and links as tables, a step as a chrome trace."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from btard.durable import write_durably
from btard.errors import UserError
from btard.pipeline.measures.timeline import Timeline, chrome_trace
from btard.pipeline.trial import TrialOutcome

RESULT, TRACE, WORKBOOK = "result.json", "trace.json", "result.xlsx"


def check_workbooks() -> None:
    """Check that workbooks can be written.

    Raises:
        UserError: a package is missing.
    """
    if importlib.util.find_spec("openpyxl") is None:
        raise UserError("--xlsx needs the package openpyxl: pip install btard[xlsx]")


def summary_of(outcome: TrialOutcome, timeline: Timeline) -> dict[str, Any]:
    """Return what a trial came to in one flat row: scores, counts of steps and bytes; None for what cannot be said."""
    scores = {
        f"{name}_{when}": value
        for when, found in (("before", outcome.before), ("after", outcome.after))
        for name, value in {**asdict(found), "perplexity": found.perplexity}.items()
    }
    counts = {name: getattr(outcome, name) for name in ("attacked", "noticed", "false_alarms", "skipped")}
    row = {
        **scores,
        "steps": len(outcome.reports),
        **counts,
        "sent_bytes": sum(outcome.traffic.values()),
        "bubble": timeline.bubble,
        "step_seconds": timeline.seconds,
    }
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }


def steps_frame(outcome: TrialOutcome) -> pd.DataFrame:
    """Return one row a step: its loss (nats), the stage that lied and the one that raised the alarm, if any."""
    return pd.DataFrame(
        [
            {"step": report.step, "loss": report.loss, "liar": liar, "alarm": report.alarm}
            for report, liar in zip(outcome.reports, outcome.liars, strict=True)
        ]
    ).astype({"liar": "Int64", "alarm": "Int64"})


def links_frame(outcome: TrialOutcome) -> pd.DataFrame:
    """Return one row for each pair of stages of which one has sent to the other: the bytes of all steps."""
    rows = [(sender, receiver, sent) for (sender, receiver), sent in sorted(outcome.traffic.items())]
    return pd.DataFrame(rows, columns=["sender", "receiver", "bytes"])


def write_trial(
    directory: Path, settings: Mapping[str, Any], outcome: TrialOutcome, timeline: Timeline, *, workbook: bool = False
) -> Sequence[Path]:
    """Write all files of a trial, and return where they are; a file that is there already is replaced.

    Args:
        settings: of the trial, as they were given.
        timeline: of one of its steps.
        workbook: whether the tables are also written as sheets of one file.

    Raises:
        UserError: the directory cannot be written.
    """
    summary = summary_of(outcome, timeline)
    tables = {"steps": steps_frame(outcome), "links": links_frame(outcome)}
    paths = [directory / RESULT, directory / TRACE]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        told = {"settings": dict(settings), "result": summary}
        write_durably(paths[0], (json.dumps(told, indent=1, allow_nan=False) + "\n").encode())
        write_durably(paths[1], json.dumps(chrome_trace(timeline)).encode())
        for name, table in tables.items():
            paths.append(directory / f"{name}.csv")
            table.to_csv(paths[-1], index=False)
        if workbook:
            paths.append(directory / WORKBOOK)
            with pd.ExcelWriter(paths[-1], engine="openpyxl") as book:
                pd.DataFrame([{**settings, **summary}]).to_excel(book, sheet_name="result", index=False)
                for name, table in tables.items():
                    table.to_excel(book, sheet_name=name, index=False)
    except OSError as error:
        raise UserError(f"--output is {directory}, which cannot be written: {error.strerror}") from None
    return paths
