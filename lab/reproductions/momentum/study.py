"""What momentum at workers does under attack: the trends of the study, its tables and its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from btard.aggregation import make_rule
from btard.lab.metrics.tables import TableName
from btard.lab.reproductions.momentum.grids import LEGACY, UNATTACKED, data_sets, grids
from btard.lab.reproductions.momentum.pairs import learned, loss_table, pairs, recovery_table
from btard.lab.reproductions.reproduction import Findings, Judgement, Reproduction, Trend
from btard.lab.reproductions.settings import Scale
from btard.lab.study.canvas import Exported
from btard.lab.study.curves import Band, Lines, draw_lines
from btard.lab.study.html import Section
from btard.lab.study.results import CompleteRun, data_of, runs_frame, steps_frame
from btard.lab.study.spread import draw_spread
from btard.lab.sweep.grid import Grid
from btard.lab.sweep.sweep import Sweep

_CHANCE_POINTS = {"cifar100": 1.0}
_OTHERWISE_POINTS = 10.0

_ENOUGH_PAIRS = 8
"""Fewer pairs than these decide nothing."""

_SHORT = {text: name for name, text in LEGACY.items()} | {UNATTACKED: "no attack"}


class MomentumStudy(Reproduction):
    """The study of distributed momentum, on the rules and models that the published figures came from."""

    name = "momentum"
    title = "El-Mhamdi, Guerraoui, Rouault: Distributed Momentum for Byzantine-resilient SGD, ICLR 2021"

    def grids(self, scale: Scale) -> list[Grid]:
        """See `Reproduction`."""
        return grids(scale)

    def scaled_down(self, scale: Scale) -> list[str]:
        """See `Reproduction`."""
        counts = configurations(Scale.PAPER)
        appendix = counts.pop("appendix")
        published = sum(counts.values())
        said = [
            f"The published grid has {published} configurations and {5 * published} runs on MNIST, Fashion-MNIST, "
            f"CIFAR-10 and CIFAR-100, and its appendix {appendix} and {5 * appendix} of a wide residual network; these "
            "numbers are counted from the grids that this command makes.",
            "The grids called legacy use the rules and the evaluation mode that the published figures came from: "
            "Krum of distances that are not squared, to n - f - 1 others; the lower of two middle values as median; "
            "Bulyan that orders its rows once; models always in evaluation mode, so without dropout and with batch "
            "normalisation by mean 0 and variance 1. The grids called corrected use the rules as their papers define "
            "them, at the first learning rate without Nesterov's momentum.",
        ]
        match scale:
            case Scale.SMOKE:
                said.append(
                    "Here: scikit-learn's digits in place of four data sets, 15 workers in place of 51, 6 or 3 "
                    "attackers, batches of 16, 60 steps, one seed, one learning rate, no Nesterov. It shows that "
                    "everything works, and decides no trend."
                )
            case Scale.SMALL:
                said.append(
                    "Here: the 784-100-10 network on Fashion-MNIST with all its 184 configurations as published, one "
                    "seed in place of five, evaluated every 25 steps in place of every 5. In place of CIFAR: the "
                    "convolutional network with an eighth of its channels on Fashion-MNIST, 200 steps in place of "
                    "3000, one learning rate, no Nesterov, one seed, and the legacy rules alone."
                )
            case Scale.PAPER:
                said.append("Here: all of it.")
        return said

    def findings(self, sweeps: Mapping[str, Sweep], scale: Scale, directory: Path) -> Findings:
        """See `Reproduction`."""
        tables = {name: pairs(runs_frame(one.results)) for name, one in sweeps.items() if one.results}
        legacy = {name: table for name, table in tables.items() if name.endswith("-legacy")}
        everything = pd.concat(legacy.values(), ignore_index=True)
        fair = pd.concat([learned(table, _chance(name)) for name, table in legacy.items()], ignore_index=True)
        attacked = [run for name in legacy for run in sweeps[name].results]
        subsets = [("all", everything), *_by_liars(everything)]
        sections = [
            Section(
                "What an attack costs, and what momentum at workers regains",
                [
                    "A pair differs in nothing but where momentum is kept: in the update, or by every worker. The cost "
                    "is what the unattacked run with as many honest workers reaches beyond the run with momentum in "
                    "the update; accuracies are the best of a run, in points."
                ],
                [recovery_table(subsets), loss_table(subsets)],
            ),
            _overview(everything, directory, data_of(attacked)),
            _ratio_section(sweeps, directory),
            _curve_section(sweeps, directory),
            _corrected_section(tables),
        ]
        return Findings(_trends(fair, everything, _ratio_change(sweeps)), [one for one in sections if one is not None])


def _chance(grid: str) -> float:
    return _CHANCE_POINTS.get(grid.removesuffix("-legacy"), _OTHERWISE_POINTS)


def _by_liars(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(f"f = {liars:g}", group) for liars, group in table.groupby("attackers")]


def _share(part: int, of: int) -> str:
    return f"{part} of {of} ({100 * part / of:.1f} %)" if of else "no such pair"


def _verdict(holds: bool, count: int) -> Judgement:
    if count < _ENOUGH_PAIRS:
        return Judgement.UNDECIDED
    return Judgement.SHOWN if holds else Judgement.NOT_SHOWN


def _trends(fair: pd.DataFrame, everything: pd.DataFrame, ratio: tuple[int, int]) -> list[Trend]:
    worse, hurt = fair[fair["gain"] < -2], fair[fair["cost"] >= 20]
    gains, regained = int((hurt["gain"] > 0).sum()), int((hurt["gain"] >= 20).sum())
    lower, steps = ratio
    return [
        Trend(
            "Momentum at workers hardly ever hurts: worse by more than 2 points in at most 1 % of the pairs that learn",
            "lower at all in 4 pairs of all (0.23 %)",
            _share(len(worse), len(fair)),
            _verdict(len(worse) <= 0.01 * len(fair), len(fair)),
        ),
        Trend(
            "Where the attack costs 20 points or more, momentum at workers gains: in at least 95 % of such pairs",
            "always",
            _share(gains, len(hurt)),
            _verdict(gains >= 0.95 * len(hurt), len(hurt)),
        ),
        Trend(
            "Where the attack costs 20 points or more, it regains 20 or more in most pairs",
            "in more than 60 %",
            _share(regained, len(hurt)),
            _verdict(regained > 0.5 * len(hurt), len(hurt)),
        ),
        Trend(
            "These attacks cost 20 points or more in a good part of all pairs",
            "25.8 % (784-100-10 network), 70.8 % (convolutions)",
            _share(int((everything["cost"] >= 20).sum()), len(everything)),
            _verdict((everything["cost"] >= 20).mean() > 0.1, len(everything)),
        ),
        Trend(
            "What is submitted has a smaller variance-norm ratio than what is sampled, with momentum at workers",
            "as long as the curvature stays positive",
            _share(lower, steps),
            _verdict(2 * lower > steps, steps),
        ),
    ]


def _attacked(sweeps: Mapping[str, Sweep], place: str) -> list[CompleteRun]:
    found = [run for name, one in sweeps.items() if name.endswith("-legacy") for run in one.results]
    return [run for run in found if run.labels["rule"] != UNATTACKED and run.labels["momentum_at"] == place]


def _ratios(run: CompleteRun) -> pd.DataFrame:
    """Return squares of deviation over norm, of what is sampled and of what honest workers submit, by step."""
    study = run.tables[TableName.STUDY]
    return pd.DataFrame(
        {
            "step": study["Step number"],
            "sampled": (study["Sampled gradient deviation"] / study["Sampled gradient norm"]) ** 2,
            "submitted": (study["Honest gradient deviation"] / study["Honest gradient norm"]) ** 2,
        }
    )


def _ratio_change(sweeps: Mapping[str, Sweep]) -> tuple[int, int]:
    """Return in how many steps, of how many, the submitted ratio lies below the sampled one, early in each run."""
    lower, steps = 0, 0
    for run in _attacked(sweeps, "worker"):
        table = _ratios(run)
        early = table[table["step"] < max(1, len(table) // 5)].dropna()
        early = early[early["step"] > 0]  # in the first step both are the same
        lower += int((early["submitted"] < early["sampled"]).sum())
        steps += len(early)
    return lower, steps


def _overview(table: pd.DataFrame, directory: Path, data: str) -> Section | None:
    if table.empty:
        return None
    long = table.melt(id_vars=["attackers"], value_vars=["update", "worker"], var_name="place", value_name="points")
    long["group"] = long["place"].map({"update": "standard", "worker": "at workers"}) + long["attackers"].map(
        lambda liars: f", f = {liars:g}"
    )
    drawn = draw_spread(
        long.sort_values(["attackers", "place"]),
        directory,
        "overview",
        title="Best accuracy of attacked runs, by where momentum is kept",
        group="group",
        value="points",
        label="best accuracy (points)",
        data=data,
        reference=float(table["reference"].median()),
        reference_label="median without attack",
    )
    return Section("Overview", figures=[drawn])


def _ratio_section(sweeps: Mapping[str, Sweep], directory: Path) -> Section | None:
    runs = _attacked(sweeps, "worker")
    rows: list[pd.DataFrame] = []
    counts = []
    for run in runs:
        table = _ratios(run)
        most = make_rule(str(run.labels["rule"])).upper_bound(
            int(str(run.labels["workers"])), int(str(run.labels["attackers"]))
        )
        if most is not None:
            met = int((table["submitted"] < most**2).sum())
            counts.append((_SHORT.get(str(run.labels["rule"])), run.labels["attackers"], most, met / len(table)))
        for name in ("sampled", "submitted"):
            rows.append(table.rename(columns={name: "ratio"})[["step", "ratio"]].assign(series=name, run=len(rows)))
    if not rows:
        return None
    frame = pd.concat(rows, ignore_index=True).rename(columns={"run": "seed"})
    frame = frame[frame["ratio"].map(math.isfinite)]
    title = "Variance-norm ratio, momentum at workers"
    lines = Lines(title, "ratio", "(deviation / norm) squared", band=Band.NONE, data=data_of(runs))
    enough = pd.DataFrame(counts, columns=["rule", "f", "eta", "steps with ratio below eta squared (share)"])
    enough = enough.groupby(["rule", "f", "eta"], as_index=False).mean()
    return Section(
        "Is the ratio enough for the rule?",
        ["A rule is proven to resist only while the ratio of the submitted vectors lies below its eta squared."],
        [enough],
        [draw_lines(frame, lines, directory, "ratio")],
    )


def _curve_section(sweeps: Mapping[str, Sweep], directory: Path) -> Section | None:
    figures: list[Exported] = []
    for name, one in sweeps.items():
        if not name.endswith("-legacy") or not one.results:
            continue
        frame = steps_frame(one.results, TableName.EVALUATIONS)
        frame["attack"] = frame["attack"].fillna("none") if "attack" in frame else "none"
        for (rate, nesterov), group in frame.groupby(["learning_rate", "nesterov"]):
            figures += _curves(
                group,
                f"{name.removesuffix('-legacy')}-lr_{rate:g}{'-nesterov' if nesterov else ''}",
                directory,
                data_of(one.results),
            )
    return Section("Accuracy", figures=figures) if figures else None


def _curves(frame: pd.DataFrame, name: str, directory: Path, data: str) -> Sequence[Exported]:
    figures = []
    attacked = frame[frame["rule"] != UNATTACKED]
    for (attack, liars, place), group in attacked.groupby(["attack", "attackers", "momentum_at"]):
        honest = group["workers"].iloc[0] - liars
        plain = frame[(frame["rule"] == UNATTACKED) & (frame["workers"] == honest)]
        both = pd.concat([plain, group], ignore_index=True)
        both["series"] = both["rule"].map(lambda rule: _SHORT.get(rule, rule))
        short = str(attack).partition(":")[0]
        title = f"{name}: {short}, f = {liars:g}, momentum at {place}"
        lines = Lines(title, "accuracy", "accuracy (share)", band=Band.DEVIATION, limits=(0.0, 1.0), data=data)
        figures.append(draw_lines(both, lines, directory, f"{name}-{short}-f_{liars:g}-at_{place}"))
    return figures


def _corrected_section(tables: Mapping[str, pd.DataFrame]) -> Section | None:
    rows = []
    for name, table in tables.items():
        for place in ("update", "worker"):
            for rule, group in table.groupby("rule"):
                rows.append((name, rule, place, len(group), float(group[place].mean()), float(group[place].min())))
    columns = ["grid", "rule", "momentum at", "runs", "mean best accuracy (points)", "worst"]
    return Section("Published rules beside the corrected ones", tables=[pd.DataFrame(rows, columns=columns)])


def configurations(scale: Scale) -> dict[str, int]:
    """Return how many configurations each data set of a scale has."""
    by_name = {grid.name: len(grid.cases) for grid in grids(scale)}
    return {data.name: by_name[f"{data.name}-legacy"] for data in data_sets(scale)}
