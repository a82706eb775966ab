"""Karimireddy, He, Jaggi: Learning from History for Byzantine Robust Optimization, ICML 2021."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from btard.lab.reproductions.evidence import (
    UNATTACKED,
    all_of,
    attack_curves,
    attack_of,
    difference,
    is_above,
    points_frame,
    spread_table,
    told,
)
from btard.lab.reproductions.reproduction import Findings, Judgement, Reproduction, Trend
from btard.lab.reproductions.settings import Scale
from btard.lab.study.heat import draw_heat
from btard.lab.study.html import Section
from btard.lab.study.results import CompleteRun, data_of
from btard.lab.study.statistics import over_seeds
from btard.lab.sweep.grid import Grid
from btard.lab.sweep.sweep import Sweep

CLIP = "centered clip"
RULES = {
    "krum": "krum",
    "coordinate median": "coordinate_median",
    "geometric median": "geometric_median",
    "trimmed mean": "trimmed_mean",
    CLIP: "centered_clip:tau=0.3",
}
ALIE = "ALIE"
ATTACKS = {
    "bit flip": "sign_flip:scale=1",
    "label flip": "label_flip",
    "mimic": "mimic",
    "IPM": "ipm:factor=0.1",
    ALIE: "alie",
}
MOMENTA = (0.0, 0.9, 0.99)
_AS_GOOD_POINTS = 1.0
_HELPS_POINTS = 0.0


@dataclass(frozen=True)
class _Size:
    task: str
    workers: int
    attackers: int
    batch: int
    steps: int
    seeds: int
    evaluate_every: int


_SIZES = {
    Scale.SMOKE: _Size("images:data=digits,model=simples_full", 15, 6, 16, 60, 1, 10),
    Scale.SMALL: _Size("images:data=mnist_5k,model=simples_full", 25, 11, 32, 500, 3, 50),
    Scale.PAPER: _Size("images:data=mnist,model=simples_conv", 25, 11, 32, 600, 5, 30),
}


class CenteredClipping(Reproduction):
    """Five attacks on five rules, with none, some and much momentum at workers."""

    name = "centered-clip"
    title = "Karimireddy, He, Jaggi: Learning from History for Byzantine Robust Optimization, ICML 2021"

    def grids(self, scale: Scale) -> list[Grid]:
        """See `Reproduction`."""
        size = _SIZES[scale]
        base = {
            "task": size.task,
            "workers": size.workers,
            "momentum_at": "worker",
            "learning_rate": 0.1,
            "learning_rate_decay": 0.0,
            "batch_size": size.batch,
            "steps": size.steps,
            "evaluate_every": size.evaluate_every,
            "study": False,
        }
        cases = [{"rule": "mean", **momentum(mu)} for mu in MOMENTA]
        cases += [
            {"rule": rule, "attack": attack, "attackers": size.attackers, **momentum(mu)}
            for rule in RULES.values()
            for attack in ATTACKS.values()
            for mu in MOMENTA
        ]
        return [Grid(name="rules", base=base, cases=cases, seeds=list(range(1, size.seeds + 1)))]

    def scaled_down(self, scale: Scale) -> list[str]:
        """See `Reproduction`."""
        size = _SIZES[scale]
        said = [
            "Momentum is (1 - beta) g + beta m at every worker, with beta of 0, 0.9 and 0.99, and the rate is the same "
            "for all: no rule and no beta has a rate of its own.",
            "CenteredClip has tau 0.3 for every beta, taken after 1 had done badly in a smoke run, and is solved to "
            "its fixed point without a start from the step before, while the paper makes a few iterations from that "
            "start. The numbers of workers and attackers, model and steps are choices of this laboratory: only claims "
            "of direction are judged, not figures.",
            f"{size.workers} workers of which {size.attackers} attack from the first step on, {size.task}, batches of "
            f"{size.batch}, {size.steps} steps, {size.seeds} seeds. Samples are dealt evenly, so mimic has little to "
            "gain: its aim is workers whose samples differ.",
        ]
        if scale is Scale.SMOKE:
            said.append("It shows that everything works, and decides no trend.")
        return said

    def findings(self, sweeps: Mapping[str, Sweep], scale: Scale, directory: Path) -> Findings:
        """See `Reproduction`."""
        results = sweeps["rules"].results
        frame = named_frame(results)
        if frame.empty:
            return Findings([], [])
        return Findings(
            trends(frame, decides=scale is not Scale.SMOKE),
            [_overview(frame, directory, data_of(results)), _curves(results, _SIZES[scale].steps, directory)],
        )


def momentum(mu: float) -> dict[str, Any]:
    """Return the settings of momentum as an average."""
    return {"momentum": mu, "dampening": mu}


def _rule(labels: Mapping[str, object]) -> str:
    return {text: name for name, text in RULES.items()}.get(str(labels["rule"]), "mean, no attack")


def _attack(labels: Mapping[str, object]) -> str:
    found = attack_of(labels)
    return {text: name for name, text in ATTACKS.items()}.get(found, found)


def named_frame(results: Sequence[CompleteRun]) -> pd.DataFrame:
    """Return one row a run, accuracies in points, with the names of its rule and attack."""
    frame = points_frame(results)
    if frame.empty:
        return frame
    labels = [run.labels for run in results]
    return frame.assign(rule=[_rule(one) for one in labels], attack=[_attack(one) for one in labels])


def trends(frame: pd.DataFrame, *, decides: bool) -> list[Trend]:
    """Judge two claims about ALIE.

    Args:
        frame: as `named_frame` gives it.
        decides: whether its runs are enough to decide anything.
    """
    cells = dict(tuple(frame[frame["attack"] == ALIE].groupby(["rule", "momentum"])))
    found = []
    for mu in MOMENTA[1:]:
        mine = cells.get((CLIP, mu))
        others = {rule: cells[rule, mu] for rule in RULES if rule != CLIP and (rule, mu) in cells}
        if mine is None or not others:
            continue
        gaps = {rule: difference(mine, rows) for rule, rows in others.items()}
        found.append(
            Trend(
                f"Under ALIE and momentum {mu:g} at workers, CenteredClip is best, or within {_AS_GOOD_POINTS:g} point "
                "of the best rule",
                "best or as good",
                "; ".join(f"above {rule} by {told(gap)}" for rule, gap in gaps.items()),
                all_of([is_above(gap, -_AS_GOOD_POINTS) for gap in gaps.values()]),
            )
        )
    for rule in RULES:
        plain = cells.get((rule, 0.0))
        if plain is None:
            continue
        gains = {mu: difference(cells[rule, mu], plain) for mu in MOMENTA[1:] if (rule, mu) in cells}
        found.append(
            Trend(
                f"Momentum at workers helps {rule} against ALIE",
                "helps",
                "; ".join(f"{mu:g}: {told(gain)}" for mu, gain in gains.items()),
                all_of([is_above(gain, _HELPS_POINTS) for gain in gains.values()]),
            )
        )
    return found if decides else [Trend(one.claim, one.published, one.found, Judgement.UNDECIDED) for one in found]


def _overview(frame: pd.DataFrame, directory: Path, data: str) -> Section:
    figures = []
    for mu, rows in frame[frame["attack"] != UNATTACKED].groupby("momentum"):
        figures.append(
            draw_heat(
                over_seeds(rows, ["rule", "attack"], "final"),
                directory,
                f"final-momentum-{mu:g}",
                title=f"Final accuracy (points), momentum {mu:g} at workers",
                rows="rule",
                columns="attack",
                value="mean",
                label="final accuracy (points)",
                data=data,
            )
        )
    table = spread_table(frame, ["attack", "rule", "momentum"])
    return Section("Final accuracy", ["Points, mean over seeds."], [table], figures)


def _curves(results: Sequence[CompleteRun], steps: int, directory: Path) -> Section:
    figures = []
    plain = [run for run in results if attack_of(run.labels) == UNATTACKED]
    for attack, text in ATTACKS.items():
        for mu in MOMENTA:
            mine = [run for run in results if attack_of(run.labels) == text]
            drawn = attack_curves(
                [run for run in [*plain, *mine] if run.labels["momentum"] == mu],
                _rule,
                directory,
                f"{attack.replace(' ', '-')}-momentum-{mu:g}",
                title=f"{attack}, momentum {mu:g} at workers",
                window=(0, steps),
            )
            if drawn is not None:
                figures.append(drawn)
    return Section("Accuracy over steps", figures=figures)
