"""How long a stage that lies in every step goes unnoticed under drawn checks, and until it is banned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from scipy import stats

from btard.lab.reproductions.evidence import all_of
from btard.lab.reproductions.reproduction import Judgement, Trend
from btard.lab.reproductions.settings import Scale
from btard.lab.reproductions.staged.delay_run import DelayRun, PersistentLie
from btard.lab.reproductions.staged.run import StagedResult
from btard.lab.study.curves import Band, Lines, draw_lines
from btard.lab.study.html import Section
from btard.lab.study.statistics import CONFIDENCE

BAN_STEPS = 3
"""Within which a stage that lies in every step is banned where every step is checked."""

NEAR = 1.5
"""By which factor the mean delay may be off 1/s either way, and count as 1/s."""

_SIZES = {
    Scale.SMOKE: ((0.2, 0.5, 1.0), 6, 1),
    Scale.SMALL: ((0.1, 0.2, 0.5, 1.0), 8, 3),
    Scale.PAPER: ((0.01, 0.05, 0.1, 0.2, 0.5, 1.0), 20, 5),
}
"""Shares, lies that are expected to be found in a run, and seeds."""


def delay_runs(scale: Scale, data: str) -> list[DelayRun]:
    """Return the runs of a scale: each share against each lie."""
    shares, expected, seeds = _SIZES[scale]
    return [
        DelayRun(seed=seed, data=data, share=share, lie=lie, steps=round(expected / share))
        for share in sorted(shares, reverse=True)
        for seed in range(1, seeds + 1)
        for lie in PersistentLie
    ]


def delay_frame(results: Sequence[StagedResult]) -> pd.DataFrame:
    """Return one row a run: `steps` in each of which a stage lied, `found`: in how many of them it was accused,
    `bans`, the mean and the largest number of steps from a peer's first lie to its ban, and what befell others."""
    rows = []
    for result in results:
        if isinstance(result.run, DelayRun):
            run, bans = result.run, [int(delay) for delay in result.found["bans"]]
            told = {name: int(result.found[name]) for name in ("steps", "honest_accused", "honest_banned")}
            spans = {"bans": len(bans), "ban_steps": sum(bans), "slowest_ban": max(bans, default=0)}
            found = len(result.found["found"])
            rows.append({"lie": str(run.lie), "share": run.share, "seed": run.seed, "found": found, **told, **spans})
    return pd.DataFrame(rows)


def delay_table(frame: pd.DataFrame, by: Sequence[str] = ("share", "lie")) -> pd.DataFrame:
    """Return sums over seeds, and steps from a lie to its detection (1: in the same step).

    A run ends before its last lie is found. Since a stage that lies in every step is drawn anew in each, the steps of
    all runs over the lies found are the mean delay all the same; its interval is that of the binomial share of steps
    in which the lie is found (Clopper and Pearson).
    """
    sums = {name: (name, "sum") for name in ("steps", "found", "bans", "ban_steps", "honest_accused", "honest_banned")}
    table = frame.groupby(list(by), as_index=False).agg(**sums, slowest_ban=("slowest_ban", "max"))
    tests = [
        stats.binomtest(found, steps).proportion_ci(CONFIDENCE)
        for found, steps in zip(table["found"], table["steps"], strict=True)
    ]
    return table.assign(
        delay=table["steps"] / table["found"],
        low=[1 / test.high for test in tests],
        high=[1 / test.low if test.low else float("inf") for test in tests],
        expected=1 / table["share"],
        steps_to_ban=table["ban_steps"] / table["bans"],
    ).drop(columns="ban_steps")


def delay_trends(frame: pd.DataFrame) -> list[Trend]:
    """Judge what drawn checks promise; `frame` is as `delay_frame` gives it."""
    if frame.empty:
        return []
    table = delay_table(frame, ["share"])
    told = [f"share {row.share:g}: {row.delay:.3g} ({row.low:.3g} to {row.high:.3g})" for row in table.itertuples()]
    near = [_near(row.low / row.expected, row.high / row.expected) for row in table.itertuples()]
    found = [
        Trend(
            "A stage that lies in every step is found out after 1/s steps on average, s being the share of checks",
            "no drawn checks",
            "; ".join(told),
            all_of(near),
        )
    ]
    always = frame[frame["share"] == 1]
    if len(always):
        bans, slowest, wrong = int(always["bans"].sum()), int(always["slowest_ban"].max()), frame["honest_banned"].sum()
        held = 0 < slowest <= BAN_STEPS and bool((always["bans"] > 0).all()) and not wrong
        found.append(
            Trend(
                f"At share 1 it is banned within {BAN_STEPS} steps, and no honest stage is",
                "no bans",
                f"{bans} bans, the slowest after {slowest} steps; {wrong} honest stages banned at all shares",
                Judgement.SHOWN if held else Judgement.NOT_SHOWN,
            )
        )
    return found


def _near(low: float, high: float) -> Judgement:
    if low >= 1 / NEAR and high <= NEAR:
        return Judgement.SHOWN
    return Judgement.NOT_SHOWN if low > 1 or high < 1 else Judgement.UNDECIDED


def delay_sections(frame: pd.DataFrame, directory: Path, data: str) -> list[Section]:
    """Return figure and table; `data` is what the runs were trained on."""
    if frame.empty:
        return []
    table = delay_table(frame)
    curve = table.assign(series=table["lie"], seed=1)
    law = pd.DataFrame({"series": "1/s", "seed": 1, "share": table["share"], "delay": table["expected"]})
    drawn = pd.concat([curve, law.drop_duplicates()], ignore_index=True)
    title = "Steps from a lie to its detection"
    lines = Lines(title, "delay", "steps", "share", "share of checks", band=Band.NONE, data=data)
    return [
        Section(
            "Drawn checks",
            [
                "One of four stages lies in every step, and so do the peers that take its seat. Steps from a lie to "
                "its detection, 1 being the same step, with 95 % intervals, and from a peer's first lie to its ban."
            ],
            [table],
            [draw_lines(drawn, lines, directory, "delay")],
        )
    ]
