"""Where rules break down: final accuracy by the share of attackers, with and without bans. Not a published study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from btard.lab.reproductions.evidence import (
    UNATTACKED,
    all_of,
    attack_of,
    difference,
    is_above,
    points_frame,
    spread_table,
    told,
)
from btard.lab.reproductions.reproduction import Findings, Judgement, Reproduction, Trend
from btard.lab.reproductions.settings import Scale
from btard.lab.study.canvas import Exported
from btard.lab.study.curves import Band, Lines, draw_lines
from btard.lab.study.heat import draw_heat
from btard.lab.study.html import Section
from btard.lab.study.results import CompleteRun, data_of
from btard.lab.study.statistics import over_seeds, summary
from btard.lab.sweep.grid import Grid, PlannedRun
from btard.lab.sweep.sweep import Sweep

WORKERS = 51
RULES = {
    "mean": "mean",
    "krum": "krum",
    "bulyan": "bulyan",
    "coordinate median": "coordinate_median",
    "geometric median": "geometric_median",
    "trimmed mean": "trimmed_mean",
    "centered clip": "centered_clip:tau=0.3",
}
ATTACKS = {"sign flip": "sign_flip:scale=10", "ALIE": "alie"}
BANS = {"off": "no bans", "lottery": "lottery"}
_LOST_POINTS = 30.0


@dataclass(frozen=True)
class _Size:
    task: str
    liars: Sequence[int]
    batch: int
    steps: int
    seeds: int


_SIZES = {
    Scale.SMOKE: _Size("images:data=digits,model=simples_full", (5, 12, 24), 8, 40, 1),
    Scale.SMALL: _Size("images:data=digits,model=simples_full", (5, 10, 12, 15, 20, 25), 16, 150, 3),
    Scale.PAPER: _Size("images:data=fashion_mnist,model=simples_full", (5, 10, 12, 15, 20, 23, 25), 32, 400, 5),
}


class Breakdown(Reproduction):
    """Seven rules among 51 workers, of which none to 49 % attack."""

    name = "breakdown"
    title = "Breakdown of rules by the share of attackers, 51 workers (a study of this laboratory)"

    def grids(self, scale: Scale) -> list[Grid]:
        """See `Reproduction`."""
        size = _SIZES[scale]
        base = {
            "task": size.task,
            "workers": WORKERS,
            "banned": "leaves",
            "momentum": 0.9,
            "dampening": 0.9,
            "momentum_at": "worker",
            "learning_rate": 0.1,
            "learning_rate_decay": 0.0,
            "batch_size": size.batch,
            "steps": size.steps,
            "evaluate_every": size.steps // 10,
            "study": False,
        }
        cases: list[dict[str, Any]] = [{"rule": rule, "attackers": 0} for rule in RULES.values()]
        cases += [
            {"rule": rule, "attack": attack, "attackers": liars, "bans": bans}
            for rule in RULES.values()
            for attack in ATTACKS.values()
            for liars in size.liars
            for bans in BANS
        ]
        return [Grid(name="shares", base=base, cases=cases, seeds=list(range(1, size.seeds + 1)))]

    def scaled_down(self, scale: Scale) -> list[str]:
        """See `Reproduction`."""
        size = _SIZES[scale]
        said = [
            f"{WORKERS} workers, of which 0, {', '.join(map(str, size.liars))} attack from the first step on; "
            f"{size.task}, batches of {size.batch}, {size.steps} steps, momentum 0.9 at workers, {size.seeds} seeds.",
            "Bans are drawn by the published lottery, with probability (1/n)(n - b)/n after each attack, and a banned "
            "worker leaves. CenteredClip has tau 0.3, taken after 1 had done badly in a smoke run; nothing is "
            "searched for. A rule that is told how many lie is told the truth. A rule is refused where its proof asks "
            "for more workers: such cells are crossed out. Bans by verdicts need the whole protocol, which this "
            "study leaves out.",
        ]
        if scale is Scale.SMOKE:
            said.append("It shows that everything works, and decides nothing.")
        return said

    def findings(self, sweeps: Mapping[str, Sweep], scale: Scale, directory: Path) -> Findings:
        """See `Reproduction`."""
        done = sweeps["shares"]
        frame = shares_frame(done.results, done.refused)
        if frame.empty:
            return Findings([], [])
        figures, tables = [], []
        for attack in ATTACKS:
            for policy in BANS.values():
                some = _with_unattacked(frame, attack, policy)
                figures += _drawn(some, f"{attack}, {policy}", directory, data_of(done.results))
        tables.append(spread_table(frame, ["attack", "policy", "rule", "share"]))
        about = "Final accuracy in points by the share of attackers; a row without a seed is of a rule that refuses."
        return Findings(
            trends(frame, decides=scale is not Scale.SMOKE), [Section("Breakdown", [about], tables, figures)]
        )


def shares_frame(results: Sequence[CompleteRun], refused: Sequence[PlannedRun]) -> pd.DataFrame:
    """Return one row a run: `rule`, `attack`, `policy` of bans, `share` of attackers, `seed`, and `final` accuracy in
    points, nan where the rule refuses."""
    done = points_frame(results)
    final = done["final"].tolist() if len(done) else []
    rows = [{**run.labels, "final": points} for run, points in zip(results, final, strict=True)]
    rows += [{**run.labels, "seed": run.settings.seed, "final": math.nan} for run in refused]
    rules, attacks = ({text: name for name, text in named.items()} for named in (RULES, ATTACKS))
    named = [
        {
            "rule": rules[str(row["rule"])],
            "attack": attacks.get(attack_of(row), UNATTACKED),
            "policy": BANS[str(row.get("bans", "off"))],
            "share": round(int(str(row["attackers"])) / WORKERS, 2),
            "seed": row["seed"],
            "final": row["final"],
        }
        for row in rows
    ]
    return pd.DataFrame(named, columns=["rule", "attack", "policy", "share", "seed", "final"])


def trends(frame: pd.DataFrame, *, decides: bool) -> list[Trend]:
    """Judge what theory says of breakdown, and what bans add.

    Args:
        frame: as `shares_frame` gives it.
        decides: whether its runs are enough to decide anything.
    """
    found = []
    for attack in ATTACKS:
        open_rows = _with_unattacked(frame, attack, BANS["off"])
        attacked = open_rows[open_rows["share"] > 0].dropna(subset=["final"])
        mean = attacked[attacked["rule"] == "mean"]
        if len(mean) and attack == "sign flip":
            lowest = summary(mean.loc[mean["share"] == mean["share"].min(), "final"].tolist())
            lost = Judgement.SHOWN if lowest.high < _LOST_POINTS else Judgement.NOT_SHOWN
            found.append(
                Trend(
                    f"{attack}: the mean breaks down at the least share (below {_LOST_POINTS:g} points)",
                    "one attacker is enough",
                    str(lowest),
                    Judgement.UNDECIDED if math.isnan(lowest.high) else lost,
                )
            )
        found.append(_bans_help(frame, attack))
    return found if decides else [Trend(one.claim, one.published, one.found, Judgement.UNDECIDED) for one in found]


def _bans_help(frame: pd.DataFrame, attack: str) -> Trend:
    """Compare runs with and without bans at the largest share that each rule takes."""
    gains = {}
    for rule, rows in frame[frame["attack"] == attack].dropna(subset=["final"]).groupby("rule"):
        most = rows[rows["share"] == rows["share"].max()]
        policies = dict(tuple(most.groupby("policy")))
        if len(policies) == len(BANS):
            gains[rule] = difference(policies[BANS["lottery"]], policies[BANS["off"]])
    return Trend(
        f"{attack}: with bans, every rule ends higher at the largest share that it takes",
        "not published",
        "; ".join(f"{rule}: {told(gain)}" for rule, gain in gains.items()),
        all_of([is_above(gain) for gain in gains.values()]),
    )


def _with_unattacked(frame: pd.DataFrame, attack: str, policy: str) -> pd.DataFrame:
    mine = (frame["attack"] == attack) & (frame["policy"] == policy)
    return frame[mine | (frame["attack"] == UNATTACKED)]


def _drawn(frame: pd.DataFrame, title: str, directory: Path, data: str) -> list[Exported]:
    name = title.replace(", ", "-").replace(" ", "-")
    lines = Lines(
        f"Breakdown under {title}",
        "final",
        "final accuracy (points)",
        step="share",
        step_label="share of attackers",
        band=Band.INTERVAL,
        limits=(0.0, 100.0),
        data=data,
    )
    known = frame.dropna(subset=["final"])
    heat = draw_heat(
        over_seeds(frame, ["rule", "share"], "final"),
        directory,
        f"{name}-cells",
        title=f"Final accuracy (points) under {title}",
        rows="rule",
        columns="share",
        value="mean",
        label="final accuracy (points)",
        data=data,
    )
    return [draw_lines(known, lines, directory, name, series="rule"), heat]
