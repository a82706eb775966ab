"""The report of an experiment: a figure of loss and living peers for every run, and a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from btard.deploy.experiment.plan import ExperimentFile, RunSpec
from btard.deploy.experiment.results import RunResult, read_run
from btard.deploy.experiment.runner import is_done, run_directory
from btard.vocabulary import NO_ATTACK

NAME = "report"
_COLOURS = ("#1f77b4", "#d62728", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#17becf")
_CEILING = 2.0
"""Losses above so many times the first of their checkpoint are cut off, lest learning shrink to a flat line."""


@dataclass(frozen=True)
class ExperimentReport:
    """Where the report is."""

    table: Path
    figure: Path


def write_report(experiment: ExperimentFile, specs: list[RunSpec], directory: Path) -> ExperimentReport:
    """Write report.md, report.svg and report.png from what the finished runs have left."""
    done = [spec for spec in specs if is_done(run_directory(directory, spec))]
    results = {spec: read_run(run_directory(directory, spec), spec.until) for spec in done}
    figure = _draw(experiment, results, directory)
    table = directory / f"{NAME}.md"
    table.write_text(_text(experiment, specs, results), encoding="utf-8")
    return ExperimentReport(table, figure)


def _text(experiment: ExperimentFile, specs: list[RunSpec], results: dict[RunSpec, RunResult]) -> str:
    lines = [
        f"# {experiment.name}",
        "",
        f"{experiment.task} {experiment.size}, {experiment.peers} peers, {experiment.byzantine} of them Byzantine in "
        f"the attacked runs; each attack begins {experiment.attack_after} steps after its checkpoint. Losses are means "
        f"of the honest peers in nats. {len(results)} of {len(specs)} runs are done.",
        "",
        f"![loss and living peers]({NAME}.png)",
        "",
        "| run | steps | attack from | loss at the start | largest under attack | loss at the end | peers at the end "
        "| attackers banned | last ban | honest banned |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for spec, result in results.items():
        cells = [
            spec.name,
            f"{spec.begins or 0} to {spec.until}",
            _or_none(result.attack_start),
            _loss(result.first_loss),
            _loss(result.worst_loss if spec.attack is not None else None),
            _loss(result.last_loss),
            _or_none(list(result.alive.values())[-1] if result.alive else None),
            f"{len(result.banned_liars)} of {result.liars}" if spec.attack is not None else "-",
            _or_none(max(result.banned_liars, default=None)),
            str(len(result.banned_honest)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _draw(experiment: ExperimentFile, results: dict[RunSpec, RunResult], directory: Path) -> Path:
    """A column for the training from scratch and one for each checkpoint; loss above, living peers below."""
    columns: list[tuple[str, dict[RunSpec, RunResult]]] = [
        ("from scratch", {spec: result for spec, result in results.items() if spec.saves is not None})
    ]
    for step in sorted(set(experiment.checkpoints)):
        here = {spec: r for spec, r in results.items() if spec.begins == step and spec.saves is None}
        columns.append((f"from the checkpoint of step {step}", here))
    figure, axes = plt.subplots(
        2, len(columns), figsize=(5 * len(columns), 6), squeeze=False, sharex="col", layout="constrained"
    )
    figure.suptitle(f"{experiment.name}: training under attack", fontsize=13, fontweight="bold")
    kinds = [attack.type for attack in experiment.attacks]
    for (title, runs), top, bottom in zip(columns, axes[0], axes[1], strict=True):
        top.set_title(title, fontsize=10)
        for spec, result in runs.items():
            kind = spec.attack.type if spec.attack is not None else NO_ATTACK
            colour = _COLOURS[(kinds.index(kind) + 1) % len(_COLOURS)] if spec.attack is not None else _COLOURS[0]
            top.plot(list(result.losses), list(result.losses.values()), color=colour, lw=1.2, alpha=0.8)
            bottom.step(list(result.alive), list(result.alive.values()), where="post", color=colour, lw=1.2, alpha=0.8)
        _finish(top, bottom, runs, kinds)
    svg, png = directory / f"{NAME}.svg", directory / f"{NAME}.png"
    figure.savefig(svg)
    figure.savefig(png, dpi=130)
    plt.close(figure)
    return png


def _finish(top: Axes, bottom: Axes, runs: dict[RunSpec, RunResult], kinds: list[str]) -> None:
    firsts = [first for result in runs.values() if (first := result.first_loss) is not None]
    losses = [loss for result in runs.values() for loss in result.losses.values()]
    if firsts and max(losses) > _CEILING * max(firsts) > 0:
        top.set_ylim(top=_CEILING * max(firsts))
        top.annotate(
            f"off the scale, up to {max(losses):.3g}", (0.02, 0.95), xycoords="axes fraction", fontsize=8, va="top"
        )
    starts = [spec.attack_start for spec in runs if spec.attack_start is not None]
    for axes in (top, bottom):
        if starts:
            axes.axvline(starts[0], color="#555555", linestyle="--", lw=1.0)
        axes.grid(alpha=0.25)
    there = {spec.attack.type if spec.attack is not None else NO_ATTACK for spec in runs}
    handles = [Line2D([], [], color=_COLOURS[0], label="no attack")] if NO_ATTACK in there else []
    handles += [
        Line2D([], [], color=_COLOURS[(index + 1) % len(_COLOURS)], label=kind)
        for index, kind in enumerate(kinds)
        if kind in there and kind != NO_ATTACK
    ]
    if starts:
        handles.append(Line2D([], [], color="#555555", linestyle="--", label="the attack starts"))
    if handles:
        top.legend(handles=handles, fontsize=8)
    bottom.set_ylim(bottom=0)
    bottom.yaxis.set_major_locator(MaxNLocator(integer=True))
    top.set_ylabel("training loss (nats)")
    bottom.set_ylabel("living peers (count)")
    bottom.set_xlabel("training step (count)")


def _loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _or_none(value: int | None) -> str:
    return "-" if value is None else str(value)
