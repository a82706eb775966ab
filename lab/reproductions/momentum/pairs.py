"""Runs that differ in nothing but where momentum is kept, side by side, and the published tables of them.

Accuracies are the best of a run, in points: shares times 100.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from btard.lab.reproductions.momentum.grids import UNATTACKED

COST_POINTS = (10, 20, 40)
LOSS_POINTS = (0, 2, 5)
GAP_POINTS = (5, 10)
CHANCE_MARGIN_POINTS = 2.0

_PAIR = ["learning_rate", "nesterov", "rule", "attack", "attackers", "seed"]
_REFERENCE = ["learning_rate", "nesterov", "honest", "seed"]


def pairs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each pair and seed.

    Args:
        runs: one row a run of one data set: the settings of the cases, `seed`, and `best` (share). A schedule of
            rates stands for a learning rate.

    Returns:
        The settings of the pair, `update`, `worker` and `reference` (points), and from these `cost` = reference -
        update, `gain` = worker - update, and `gap` = reference - worker.
    """
    if "learning_rate" not in runs:
        runs = runs.assign(learning_rate=runs["learning_rate_schedule"])
    points = runs.assign(best=100 * runs["best"])
    attacked = points[points["rule"] != UNATTACKED]
    table = attacked.pivot(index=[*_PAIR, "workers"], columns="momentum_at", values="best").reset_index()
    table["honest"] = table["workers"] - table["attackers"]
    plain = points[points["rule"] == UNATTACKED].rename(columns={"workers": "honest", "best": "reference"})
    joined = table.merge(plain[[*_REFERENCE, "reference"]], on=_REFERENCE, how="left", validate="many_to_one")
    joined["cost"] = joined["reference"] - joined["update"]
    joined["gain"] = joined["worker"] - joined["update"]
    joined["gap"] = joined["reference"] - joined["worker"]
    return joined.drop(columns=["workers", "honest"]).dropna(subset=["update", "worker", "reference"])


def learned(table: pd.DataFrame, chance_points: float) -> pd.DataFrame:
    """Return the pairs in which a run got further than guessing: others only compare one guess with another."""
    best = table[["update", "worker"]].max(axis=1)
    return table[best > chance_points + CHANCE_MARGIN_POINTS]


def recovery_table(subsets: Sequence[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Return how many pairs an attack costs more than 10, 20 and 40 points, and how many of these regain as many."""
    rows = []
    for name, table in subsets:
        for cost in COST_POINTS:
            hurt = table[table["cost"] > cost]
            row: dict[str, object] = {
                "runs": name,
                "pairs": len(table),
                "attack costs": f"> {cost}",
                "so many": len(hurt),
            }
            for gain in COST_POINTS:
                row[f"regain > {gain}"] = int((hurt["gain"] > gain).sum())
            rows.append(row)
    return pd.DataFrame(rows)


def loss_table(subsets: Sequence[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Return how many pairs lose more than 0, 2, 5 points by momentum at workers, and keep a gap to the reference."""
    rows = []
    for name, table in subsets:
        row: dict[str, object] = {"runs": name, "pairs": len(table)}
        row |= {f"worse by > {loss}": int((table["gain"] < -loss).sum()) for loss in LOSS_POINTS}
        row |= {f"gap > {gap}": int((table["gap"] > gap).sum()) for gap in GAP_POINTS}
        rows.append(row)
    return pd.DataFrame(rows)
