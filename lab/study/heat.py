"""A value for each pair of settings, such as the final accuracy of a rule under an attack."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from btard.lab.study.canvas import Exported, export, new_figure


def draw_heat(
    table: pd.DataFrame,
    directory: Path,
    name: str,
    *,
    title: str,
    rows: str,
    columns: str,
    value: str,
    label: str,
    data: str,
    higher_is_better: bool = True,
) -> Exported:
    """Draw a heat map; a cell without a number, or without a run, is crossed out.

    Args:
        table: one row for each cell: the columns `rows`, `columns` and `value`; a cell that a rule refuses holds nan.
        label: of the values, with their unit.
        data: what they were made from.

    Raises:
        ValueError: two rows belong to one cell.
    """
    grid = table.pivot(index=rows, columns=columns, values=value)
    grid = grid.reindex(index=list(dict.fromkeys(table[rows])), columns=list(dict.fromkeys(table[columns])))
    width, height = 2.2 + 0.75 * len(grid.columns), 1.6 + 0.36 * len(grid.index)
    figure, (axes,) = new_figure(width=max(4.0, width), height=max(2.4, height))
    figure.suptitle(title)
    numbers = grid.to_numpy(np.float64)
    image = axes.imshow(numbers, aspect="auto", cmap="viridis" if higher_is_better else "viridis_r")
    axes.set_xticks(range(len(grid.columns)), [str(key) for key in grid.columns], rotation=35, ha="right")
    axes.set_yticks(range(len(grid.index)), [str(key) for key in grid.index])
    axes.set_xlabel(columns)
    axes.set_ylabel(rows)
    axes.grid(False)
    known = numbers[np.isfinite(numbers)]
    middle = (known.min() + known.max()) / 2 if len(known) else 0.0
    for (row, column), number in np.ndenumerate(numbers):
        if math.isnan(number):
            axes.text(column, row, "×", ha="center", va="center", color="#888888")
            continue
        dark = (number < middle) == higher_is_better
        axes.text(column, row, f"{number:.3g}", ha="center", va="center", color="white" if dark else "black", size=8)
    figure.colorbar(image, ax=axes, label=label)
    return export(figure, table, directory, name, data)
