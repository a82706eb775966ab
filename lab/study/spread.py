"""Boxes and violins: how a quantity is distributed over runs, group by group."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import pandas as pd

from btard.lab.study.canvas import COLOURS, Exported, export, new_figure


class Shape(StrEnum):
    """How a distribution is drawn."""

    BOX = "box"
    VIOLIN = "violin"


def draw_spread(
    frame: pd.DataFrame,
    directory: Path,
    name: str,
    *,
    title: str,
    group: str,
    value: str,
    label: str,
    data: str,
    shape: Shape = Shape.BOX,
    reference: float | None = None,
    reference_label: str = "",
) -> Exported:
    """Draw the distribution of a column for each value of another, in the order of their first rows.

    Args:
        frame: one row a run; rows whose value is nan do not count.
        data: what the values were made from.
        reference: a dashed line across, such as the median of what is not attacked.
    """
    known = frame.dropna(subset=[value])
    names = list(dict.fromkeys(known[group]))
    samples = [known.loc[known[group] == key, value].to_numpy() for key in names]
    figure, (axes,) = new_figure(width=max(4.0, 1.2 + 0.9 * len(names)))
    figure.suptitle(title)
    places = list(range(1, len(names) + 1))
    if samples and shape is Shape.BOX:
        axes.boxplot(samples, positions=places, widths=0.5, medianprops={"color": COLOURS[1]})
    elif samples:
        axes.violinplot(samples, positions=places, showmedians=True)
    if reference is not None:
        axes.axhline(reference, linestyle="--", color="#444444", linewidth=1, label=reference_label)
        if reference_label:
            axes.legend()
    axes.set_xticks(
        places, [f"{key}\n{len(values)} runs" for key, values in zip(names, samples, strict=True)], rotation=20
    )
    axes.set_ylabel(label)
    return export(figure, known[[group, value]], directory, name, data)
