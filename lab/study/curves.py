"""Lines over steps: the mean over seeds with its band, attack windows, bans, and a second axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd

from btard.lab.study.canvas import ATTACK_SHADE, BAN_MARK, Exported, export, new_figure, pens_of
from btard.lab.study.statistics import over_seeds


class Band(StrEnum):
    """What surrounds a mean."""

    INTERVAL = "interval"
    DEVIATION = "deviation"
    NONE = "none"


@dataclass(frozen=True)
class Lines:
    """What a figure of lines shows.

    Attributes:
        title, step_label, value_label: with units.
        value: the column of the left axis, and `second` that of a right axis with the label `second_label`.
        attacks: (first, last) steps of attacks, shaded.
        bans: steps in which an attacker was banned, marked.
        zoom: the steps of a second pair of axes beside the first, None for none.
        limits: of the values, None for what they are.
        data: what they were made from.
    """

    title: str
    value: str
    value_label: str
    step: str = "step"
    step_label: str = "step"
    second: str | None = None
    second_label: str = ""
    band: Band = Band.INTERVAL
    attacks: Sequence[tuple[float, float]] = ()
    bans: Sequence[float] = field(default=())
    zoom: tuple[float, float] | None = None
    limits: tuple[float, float] | None = None
    data: str = field(kw_only=True)


def draw_lines(frame: pd.DataFrame, lines: Lines, directory: Path, name: str, series: str = "series") -> Exported:
    """Draw one line for each value of the column `series`.

    Args:
        frame: one row for each series, seed and step: the columns `series`, `seed`, `lines.step`, and the values.
    """
    values = [lines.value, *([lines.second] if lines.second else [])]
    tables = {value: over_seeds(frame, [series, lines.step], value) for value in values}
    figure, axes = new_figure(columns=1 if lines.zoom is None else 2)
    figure.suptitle(lines.title)
    seeds = int(tables[lines.value]["seeds"].max()) if len(tables[lines.value]) else 0
    for panel in axes:
        _draw(panel, tables[lines.value], lines, series, list(frame[series]))
        panel.set_xlabel(lines.step_label)
        panel.set_ylabel(f"{lines.value_label}{_said(lines.band, seeds)}")
        if lines.limits is not None:
            panel.set_ylim(*lines.limits)
        if lines.second is not None:
            right = panel.twinx()
            right.grid(False)
            right.set_ylabel(lines.second_label)
            _draw(right, tables[lines.second], lines, series, list(frame[series]), faint=True)
    axes[0].legend()
    if lines.zoom is not None:
        axes[1].set_xlim(*lines.zoom)
        axes[1].set_title(f"steps {lines.zoom[0]:g} to {lines.zoom[1]:g}")
    joined = pd.concat([table.assign(value=value) for value, table in tables.items()], ignore_index=True)
    return export(figure, joined, directory, name, lines.data)


def _said(band: Band, seeds: int) -> str:
    """What a label adds about the band."""
    if seeds < 2 or band is Band.NONE:
        return ""
    what = "95 % interval" if band is Band.INTERVAL else "deviation"
    return f"\nmean and {what}, {seeds} seeds"


def _draw(axes: Any, table: pd.DataFrame, lines: Lines, series: str, names: list[Any], *, faint: bool = False) -> None:
    pens = pens_of(names)
    for key, group in table.groupby(series, sort=False):
        colour, style = pens[key]
        steps, mean = group[lines.step], group["mean"]
        axes.plot(steps, mean, color=colour, linestyle=":" if faint else style, label=str(key), linewidth=1.4)
        match lines.band:
            case Band.INTERVAL:
                axes.fill_between(steps, group["low"], group["high"], color=colour, alpha=0.15, linewidth=0)
            case Band.DEVIATION:
                axes.fill_between(
                    steps, mean - group["deviation"], mean + group["deviation"], color=colour, alpha=0.15, linewidth=0
                )
            case Band.NONE:
                pass
    if faint:
        return
    for number, (first, last) in enumerate(lines.attacks):
        axes.axvspan(first, last, color=ATTACK_SHADE, alpha=0.07, label="attack" if number == 0 else None)
    for number, step in enumerate(lines.bans):
        axes.axvline(step, color=BAN_MARK, linewidth=0.6, alpha=0.6, label="ban" if number == 0 else None)
