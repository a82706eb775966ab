"""Figures that look alike, each as SVG and PNG beside the table that it shows."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib
import pandas as pd

matplotlib.use("Agg")
matplotlib.rcParams.update(
    {"svg.hashsalt": "btard", "font.size": 9, "axes.grid": True, "grid.alpha": 0.25, "legend.fontsize": 8}
)

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

COLOURS = ("#1f5fa8", "#d1661c", "#3a8a4d", "#8250a0", "#b8860b", "#00838f", "#c2185b", "#5d4037", "#607d8b", "#827717")
STYLES = ("-", "--", "-.", ":")
_SMALL: dict[str, Any] = {"fontsize": 6, "color": "#666666"}
_LETTERS_PER_INCH = 20
"""Of such small print."""

ATTACK_SHADE, BAN_MARK = "#c0392b", "#111111"


@dataclass(frozen=True)
class Exported:
    """A figure on disk: SVG and PNG of the same name, and the table that it shows as CSV."""

    svg: Path
    png: Path
    table: Path
    title: str


def new_figure(columns: int = 1, rows: int = 1, width: float = 6.0, height: float = 3.8) -> tuple[Figure, list[Any]]:
    """Return a figure and its axes, row by row; sizes in inches, each of one pair of axes."""
    figure, axes = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), layout="constrained", squeeze=False
    )
    return figure, list(axes.flat)


def pens() -> Iterator[tuple[str, str]]:
    """Yield (colour, line style), each pair once before a pair returns."""
    while True:
        for style in STYLES:
            for colour in COLOURS:
                yield colour, style


def pens_of(names: list[Hashable]) -> dict[Hashable, tuple[str, str]]:
    """Return (colour, line style) for each name, the same for the same names in the same order."""
    return dict(zip(dict.fromkeys(names), pens(), strict=False))


def export(figure: Figure, table: pd.DataFrame, directory: Path, name: str, data: str) -> Exported:
    """Write a figure and its table, and close it. The same numbers give the same SVG; no file holds a date.

    Args:
        data: what the numbers were made from, which stands below the figure.
    """
    figure.supxlabel("\n".join(wrap(f"Data: {data}", round(_LETTERS_PER_INCH * figure.get_figwidth()))), **_SMALL)
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{name}.{kind}" for kind in ("svg", "png", "csv")]
    title = figure.get_suptitle() or next((axes.get_title() for axes in figure.axes if axes.get_title()), name)
    figure.savefig(paths[0], metadata={"Date": None})
    figure.savefig(paths[1], dpi=150, metadata={"Software": None})
    table.to_csv(paths[2], index=False)
    plt.close(figure)
    return Exported(paths[0], paths[1], paths[2], title)
