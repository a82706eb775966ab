"""Choosing a setting for each group of runs by trials, so that no rule is judged at another one's learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from btard.lab.sweep.grid import Grid, Labels


def trials(grid: Grid) -> Grid:
    """Return the grid of the trials: every combination with every value, other seeds, and as many steps as a trial has.

    Raises:
        ValueError: the grid tunes nothing.
    """
    if grid.tune is None:
        raise ValueError(f"the grid {grid.name} tunes nothing")
    tune = grid.tune
    base: dict[str, Any] = grid.base if tune.steps is None else {**grid.base, "steps": tune.steps}
    return Grid(
        name=f"{grid.name}-trials",
        base=base,
        cases=grid.cases,
        axes={**grid.axes, tune.setting: tune.values},
        seeds=tune.seeds,
    )


def chosen(grid: Grid, results: pd.DataFrame) -> list[tuple[Labels, object]]:
    """Return for each group the value with the best score, the earlier one in the file where two are as good.

    Args:
        results: one row for each trial: the columns of `by`, the tuned setting, and `score`, more is better; nan is
            worse than everything.
    """
    assert grid.tune is not None
    tune = grid.tune
    found: list[tuple[Labels, object]] = []
    for labels in _groups(grid, tune.grouped_by):
        mine = results
        for key, value in labels.items():
            mine = mine[_equals(mine[key], value)]
        scores = [_score(mine[_equals(mine[tune.setting], value)]["score"]) for value in tune.values]
        best = max(range(len(scores)), key=lambda index: (scores[index], -index))
        found.append((labels, tune.values[best]))
    return found


def _groups(grid: Grid, by: Sequence[str]) -> Iterable[Mapping[str, object]]:
    seen: list[dict[str, object]] = []
    for combination in grid.combinations():
        given = {**grid.base, **combination}
        labels = {key: given[key] for key in by if key in given}
        if labels not in seen:
            seen.append(labels)
    return seen


def _equals(column: pd.Series, value: object) -> pd.Series:
    return column.isna() if value is None else column == value


def _score(values: pd.Series) -> float:
    mean = values.mean()
    return -math.inf if math.isnan(mean) else float(mean)
