"""How seven attacks end under BTARD and under rules at a server: trends, tables and figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from btard.lab.metrics.tables import TableName
from btard.lab.reproductions.evidence import (
    UNATTACKED,
    all_of,
    attack_curves,
    difference,
    is_above,
    points_frame,
    spread_table,
    told,
)
from btard.lab.reproductions.reproduction import Findings, Judgement, Reproduction, Trend
from btard.lab.reproductions.resnet.grids import (
    BTARD,
    NO_DEFENCE,
    SERVER_RULES,
    WHOLE,
    Data,
    WholeProtocol,
    attack_name,
    defence_of,
    forked_data,
    grids,
    protocol_data,
)
from btard.lab.reproductions.settings import Scale
from btard.lab.study.heat import draw_heat
from btard.lab.study.html import Section
from btard.lab.study.results import CompleteRun, data_of
from btard.lab.study.statistics import over_seeds, summary, worst
from btard.lab.sweep.grid import Grid
from btard.lab.sweep.sweep import Sweep

_CHANCE_POINTS = 10.0
_LOST_POINTS = 20.0
_NEAR_POINTS = 2.0
_SIGN_FLIP = "sign flip"


class Resnet(Reproduction):
    """The published simulation of sixteen workers, and the whole protocol, which no published code runs."""

    name = "btard-resnet"
    title = "Gorbunov, Borzunov, Diskin, Ryabinin: Secure Distributed Training at Scale, ICML 2022 (ResNet-18)"

    def grids(self, scale: Scale) -> list[Grid]:
        """See `Reproduction`."""
        return grids(scale)

    def scaled_down(self, scale: Scale) -> list[str]:
        """See `Reproduction`."""
        said = [
            "Grids called forked are the published simulation: 16 workers with batches of 8, SGD at 0.01 with "
            "Nesterov's momentum 0.9, weight decay 0.0005 and a cosine schedule; CenteredClip on parts of a butterfly, "
            "and a lottery in place of the protocol, which makes an attacker honest with probability (1/n)(n - b)/n "
            "after each attack. All runs of a grid go on from one state, trained without attackers; seeds differ in "
            "what is drawn after it.",
            "Grids called protocol are the whole protocol: commitments, one validator a step on average, verdicts, "
            "and banned peers that leave, with momentum at workers and SGD at 0.1 without weight decay, beside rules "
            "at a server with the same. They begin with their first step, since a state of the protocol belongs to one "
            "rule. There, the past of delayed gradients begins with the attack.",
            "CenteredClip is solved to its fixed point everywhere. In a butterfly, tau is compared to the length of a "
            "part, of which there are 16: for models as small as these, tau 1 and 10 as published seem far beyond "
            "what an honest part measures, so lies pull hard until their senders are banned. The protocol runs with "
            "0.1, taken after 1 had failed in a smoke run of one seed; the other rules were not given such a second "
            "try.",
        ]
        for data in forked_data(scale):
            said.append(
                f"Forked, {data.name}: {data.task}, {data.steps} steps, forked after {data.fork}, attacks from step "
                f"{data.start} (published: 1,000 or 10,000), gradients delayed by {data.delay} steps (published: "
                "1,000); "
                + ", ".join(f"{b} attackers every {every}: {n} seeds" for (b, every), n in data.schedules)
                + " (published: 5 seeds)."
            )
        for whole in protocol_data(scale):
            said.append(
                f"Protocol, {whole.name}: {whole.task}, {whole.steps} steps, attacks by seven peers from step "
                f"{whole.start}, {whole.seeds} seeds."
            )
        if scale is Scale.SMOKE:
            said.append("It shows that everything works, and decides no trend.")
        if scale is Scale.SMALL:
            said.append(
                "The published schedules of three attackers, and of an attack in every tenth step, are left out."
            )
        if scale is Scale.PAPER:
            said.append("CIFAR-10 is read from the folder that --data names.")
        return said

    def findings(self, sweeps: Mapping[str, Sweep], scale: Scale, directory: Path) -> Findings:
        """See `Reproduction`."""
        windows: dict[str, Data | WholeProtocol] = {
            **{
                f"forked-{data.name}-{b}-every-{e}": data for data in forked_data(scale) for (b, e), _ in data.schedules
            },
            **{f"protocol-{data.name}": data for data in protocol_data(scale)},
        }
        trends, sections = [], []
        for name, one in sweeps.items():
            frame = named_frame(one.results)
            if frame.empty:
                continue
            start, steps = windows[name].start, windows[name].steps
            trends += grid_trends(frame, name, decides=scale is not Scale.SMOKE)
            sections.append(_overview(frame, one.results, name, start, directory))
            sections.append(_curves(one.results, name, (start, steps), directory))
        return Findings(trends, sections)


def named_frame(results: Sequence[CompleteRun]) -> pd.DataFrame:
    """Return one row a run, accuracies in points, with the names of its defence and attack."""
    frame = points_frame(results)
    if frame.empty:
        return frame
    labels = [run.labels for run in results]
    return frame.assign(defence=[defence_of(one) for one in labels], attack=[attack_name(one) for one in labels])


def grid_trends(frame: pd.DataFrame, grid: str, *, decides: bool) -> list[Trend]:
    """Judge the published claims by one grid.

    Args:
        frame: as `named_frame` gives it.
        grid: its name.
        decides: whether its runs are enough to decide anything.
    """
    ours = BTARD if (frame["defence"] == BTARD).any() else WHOLE
    cells = dict(tuple(frame.groupby(["defence", "attack"])))
    found: list[Trend] = []

    def judged(claim: str, published: str, text: str, verdict: Judgement) -> None:
        found.append(Trend(f"{grid}: {claim}", published, text, verdict if decides else Judgement.UNDECIDED))

    lost = cells.get((NO_DEFENCE, _SIGN_FLIP))
    if lost is not None:
        level = summary(lost["final"].tolist())
        below = Judgement.SHOWN if level.high < _LOST_POINTS else Judgement.NOT_SHOWN
        judged(
            f"without defence, sign flip ends training (below {_LOST_POINTS:g} points)",
            "about 10 and stays there",
            str(level),
            Judgement.UNDECIDED if math.isnan(level.high) else below,
        )
    plain = cells.get((ours, UNATTACKED))
    if plain is not None:
        costs = {name: difference(rows, plain) for (who, name), rows in cells.items() if who == ours}
        costs.pop(UNATTACKED)
        judged(
            f"{ours} ends no more than {_NEAR_POINTS:g} points below its unattacked run, whatever the attack",
            "recovers from all seven attacks",
            "; ".join(f"{name}: {told(cost)}" for name, cost in costs.items()),
            all_of([is_above(cost, -_NEAR_POINTS) for cost in costs.values()]),
        )
    mine = cells.get((ours, _SIGN_FLIP))
    if mine is not None:
        beyond = {
            rule: difference(mine, cells[rule, _SIGN_FLIP]) for rule in SERVER_RULES if (rule, _SIGN_FLIP) in cells
        }
        judged(
            f"under sign flip, {ours} ends above every rule at a server",
            "these fall to 20 to 30 and climb slowly",
            "; ".join(f"above {rule} by {told(gap)}" for rule, gap in beyond.items()),
            all_of([is_above(gap) for gap in beyond.values()]),
        )
    return [*found, _ban_trend(frame, grid, ours, decides=decides)]


def _ban_trend(frame: pd.DataFrame, grid: str, ours: str, *, decides: bool) -> Trend:
    attacked = frame[(frame["defence"] == ours) & (frame["attack"] != UNATTACKED)]
    honest = int(attacked["honest_bans"].sum())
    whole = int((attacked["bans"] - attacked["honest_bans"] >= attacked["attackers"]).sum())
    text = f"all attackers banned in {whole} of {len(attacked)} runs, honest workers banned: {honest}"
    verdict = Judgement.SHOWN if whole == len(attacked) and not honest else Judgement.NOT_SHOWN
    claim = f"{grid}: {ours} bans all attackers before the end, and nobody else"
    return Trend(claim, "all banned", text, verdict if decides and len(attacked) else Judgement.UNDECIDED)


def lowest_points(run: CompleteRun, start: int) -> float:
    """Return the lowest accuracy from the start of the attack on, in points."""
    table = run.tables[TableName.EVALUATIONS]
    return 100 * float(table.loc[table["step"] >= start, "accuracy"].min())


def _overview(frame: pd.DataFrame, results: Sequence[CompleteRun], name: str, start: int, directory: Path) -> Section:
    frame = frame.assign(lowest=[lowest_points(run, start) for run in results])
    final = over_seeds(frame, ["defence", "attack"], "final")
    figures = []
    for value, said in (("final", "Final accuracy"), ("lowest", "Lowest accuracy during the attack")):
        means = over_seeds(frame, ["defence", "attack"], value)
        figures.append(
            draw_heat(
                means,
                directory,
                f"{name}-{value}",
                title=f"{said} (points), {name}",
                rows="defence",
                columns="attack",
                value="mean",
                label=f"{said.lower()} (points)",
                data=data_of(results),
            )
        )
    attacked = final[final["attack"] != UNATTACKED]
    overall = worst(attacked, ["defence"], "attack", "mean", higher_is_better=True)
    tables = [
        overall.sort_values("worst", ascending=False),
        spread_table(frame, ["defence", "attack"]),
        spread_table(frame[frame["bans"] > 0], ["defence", "attack"], "last_ban"),
    ]
    about = "Mean and worst over attacks; then every cell; then the step of the last ban where there was one. Points."
    return Section(f"What each attack leaves: {name}", [about], tables, figures)


def _curves(results: Sequence[CompleteRun], name: str, window: tuple[int, int], directory: Path) -> Section:
    marked = WHOLE if any(defence_of(run.labels) == WHOLE for run in results) else BTARD
    figures = []
    for attack in dict.fromkeys(attack_name(run.labels) for run in results):
        drawn = attack_curves(
            [run for run in results if attack_name(run.labels) == attack],
            defence_of,
            directory,
            f"{name}-{attack.replace(' ', '-')}",
            title=f"{name}: {attack if attack != UNATTACKED else 'no attack'}",
            window=None if attack == UNATTACKED else window,
            bans_of=marked,
        )
        if drawn is not None:
            figures.append(drawn)
    return Section(f"Accuracy over steps: {name}", figures=figures)
