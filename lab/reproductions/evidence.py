"""Tables, figures and verdicts that studies of attacks share. Accuracies are in points: shares times 100."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from btard.lab.metrics.tables import TableName
from btard.lab.reproductions.reproduction import Judgement
from btard.lab.study.canvas import Exported
from btard.lab.study.curves import Band, Lines, draw_lines
from btard.lab.study.results import CompleteRun, data_of, runs_frame, steps_frame
from btard.lab.study.statistics import MeanOverSeeds, over_seeds, paired

UNATTACKED = "none"
"""Stands for the attack of a run that has none."""

Naming = Callable[[Mapping[str, object]], str]
"""From the labels of a run to the name of its line in figures and its row in tables."""


def points_frame(results: Sequence[CompleteRun]) -> pd.DataFrame:
    """Return one row a run, as `runs_frame`, with `final` and `best` in points, and an attack in every row."""
    frame = runs_frame(results)
    if frame.empty:
        return frame
    attack = frame["attack"].fillna(UNATTACKED) if "attack" in frame else UNATTACKED
    return frame.assign(final=100 * frame["final"], best=100 * frame["best"], attack=attack)


def spread_table(frame: pd.DataFrame, by: Sequence[str], value: str = "final") -> pd.DataFrame:
    """Return mean, deviation, 95 % interval and number of seeds of a column, for each combination of others."""
    if frame.empty:
        return pd.DataFrame(columns=[*by, "mean", "deviation", "low", "high", "seeds"])
    table = over_seeds(frame, by, value)
    return table.rename(columns={"low": "95 % from", "high": "to"})


def difference(first: pd.DataFrame, second: pd.DataFrame, value: str = "final") -> MeanOverSeeds:
    """Return by how much a column of the first exceeds the second's, over pairs with the same seed."""
    return paired(second, first, value).difference


def told(found: MeanOverSeeds, unit: str = "points") -> str:
    """Return a difference in words, with its interval."""
    if found.seeds < 2:
        return f"{found.mean:+.2f} {unit} (one seed)" if found.seeds else "no pair of runs"
    return f"{found.mean:+.2f} {unit}, 95 % from {found.low:+.2f} to {found.high:+.2f} ({found.seeds} seeds)"


def is_above(found: MeanOverSeeds, margin: float = 0.0) -> Judgement:
    """Judge whether a difference exceeds a margin: by its interval, so one seed decides nothing."""
    if math.isnan(found.low):
        return Judgement.UNDECIDED
    if found.low > margin:
        return Judgement.SHOWN
    return Judgement.NOT_SHOWN if found.high < margin else Judgement.UNDECIDED


def is_within(found: MeanOverSeeds, margin: float) -> Judgement:
    """Judge whether a difference is smaller than a margin either way."""
    if math.isnan(found.low):
        return Judgement.UNDECIDED
    if -margin <= found.low and found.high <= margin:
        return Judgement.SHOWN
    return Judgement.NOT_SHOWN if found.low > margin or found.high < -margin else Judgement.UNDECIDED


def all_of(verdicts: Sequence[Judgement]) -> Judgement:
    """Judge a claim that says several things at once: shown if all are, not shown if one is not."""
    if Judgement.NOT_SHOWN in verdicts:
        return Judgement.NOT_SHOWN
    shown = bool(verdicts) and all(verdict is Judgement.SHOWN for verdict in verdicts)
    return Judgement.SHOWN if shown else Judgement.UNDECIDED


def attack_curves(
    results: Sequence[CompleteRun],
    naming: Naming,
    directory: Path,
    name: str,
    *,
    title: str,
    window: tuple[float, float] | None,
    value: str = "accuracy",
    label: str = "accuracy (share)",
    bans_of: str | None = None,
    highest: float | None = None,
) -> Exported | None:
    """Draw an evaluated quantity over steps, one line for each name, and mark the attack and bans.

    Args:
        window: (first, last) step of the attack.
        bans_of: the name of the runs whose bans are marked, of their first seed; None for no marks.
        highest: where the picture ends, so that a line that goes far beyond does not flatten all others.

    Returns:
        The figure, None without a finite number to draw.
    """
    named = [replace(run, labels={**run.labels, "series": naming(run.labels)}) for run in results]
    frame = steps_frame(named, TableName.EVALUATIONS)
    frame = frame[frame[value].map(math.isfinite)] if len(frame) else frame
    if frame.empty:
        return None
    bans = ban_steps([run for run in named if run.labels["series"] == bans_of])
    limits = (0.0, 1.0) if value == "accuracy" else None
    if highest is not None:
        limits = (float(frame[value].min()), highest)
    lines = Lines(
        title + (f"\n(bans: {bans_of}, first seed)" if bans else ""),
        value,
        label,
        band=Band.INTERVAL,
        attacks=[] if window is None else [window],
        bans=bans,
        limits=limits,
        data=data_of(results),
    )
    return draw_lines(frame, lines, directory, name)


def ban_steps(runs: Sequence[CompleteRun]) -> list[float]:
    """Return the steps of all bans in the run with the lowest seed."""
    if not runs:
        return []
    first = min(runs, key=lambda run: int(str(run.labels["seed"])))
    return [float(step) for step in first.tables[TableName.BANS]["step"]]


def attack_of(labels: Mapping[str, object]) -> str:
    """Return the attack of a run by its labels."""
    found = labels.get("attack")
    return UNATTACKED if found is None else str(found)
