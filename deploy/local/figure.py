"""Figures of runs: loss and living peers over the steps, with the attack and every ban; several runs in comparison."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from btard.deploy.local.live_table import number
from btard.deploy.local.status import BanEvent, Evaluation, RunStatus

_ATTACK, _BAN, _EVALUATION = "#d62728", "#7b3294", "#222222"
_COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#8c564b", "#17becf")
_CEILING = 2.0
"""Losses above so many times the first are an explosion: the axis ends there, lest learning shrink to a flat line."""

_PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
"""Behind words, so that lines do not cross them."""

_WINDOW = 5
"""Steps in the moving mean."""


@dataclass(frozen=True)
class Curve:
    """What a figure needs of a run.

    Attributes:
        label: of the run.
        steps, losses: of the steps whose loss an honest peer told.
        all_steps, members: how many took part in every step.
        attack_start: the first step with a lie.
        bans: of all peers.
        evaluations: losses on held-out data.
    """

    label: str
    steps: tuple[int, ...]
    losses: tuple[float, ...]
    all_steps: tuple[int, ...]
    members: tuple[int, ...]
    attack_start: int | None
    bans: tuple[BanEvent, ...]
    evaluations: tuple[Evaluation, ...]

    @classmethod
    def of(cls, status: RunStatus, label: str) -> Curve:
        """Return the curve of a run."""
        numbers = sorted(status.steps)
        told = [(n, loss) for n in numbers if (loss := status.steps[n].loss) is not None]
        return cls(
            label=label,
            steps=tuple(n for n, _ in told),
            losses=tuple(loss for _, loss in told),
            all_steps=tuple(numbers),
            members=tuple(status.steps[n].members for n in numbers),
            attack_start=status.attack_start,
            bans=tuple(sorted(status.bans.values(), key=lambda ban: ban.step)),
            evaluations=tuple(status.evaluations),
        )

    def renamed(self, label: str) -> Curve:
        """Return the same curve under another label."""
        return replace(self, label=label)


def draw_run(curve: Curve, directory: Path, *, subtitle: str, name: str = "figure") -> tuple[Path, Path]:
    """Draw one run: loss above, living peers below; return the SVG and the PNG."""
    figure, (top, bottom) = plt.subplots(
        2, 1, sharex=True, figsize=(9, 6.5), height_ratios=(2.2, 1), layout="constrained"
    )
    figure.suptitle(f"Training with Byzantine peers: {curve.label}", fontsize=13, fontweight="bold")
    top.set_title(subtitle, fontsize=10)
    _plot_loss(top, curve, _COLOURS[0], f"mean of the honest peers, over {_WINDOW} steps (pale: each step)")
    if curve.evaluations:
        top.plot(
            [e.step for e in curve.evaluations],
            [e.loss for e in curve.evaluations],
            "D",
            color=_EVALUATION,
            markersize=5,
            label="loss on held-out data",
        )
    _limit_loss(top, [curve])
    top.set_ylabel("training loss (nats)")

    bottom.step(curve.all_steps, curve.members, where="post", color=_COLOURS[0], label="peers taking part")
    bottom.set_ylim(0, max(curve.members, default=1) + 1.2)
    bottom.yaxis.set_major_locator(MaxNLocator(integer=True))
    bottom.set_ylabel("peers (count)")
    bottom.set_xlabel("training step (count)")
    for axes in (top, bottom):
        _mark(axes, curve)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, loc="upper right" if axes is top else "lower right")
    _name_bans(bottom, curve)
    return _save(figure, directory, name)


def draw_comparison(
    curves: Sequence[Curve], directory: Path, *, title: str, name: str = "comparison"
) -> tuple[Path, Path]:
    """Draw the losses of several runs over each other; return the SVG and the PNG."""
    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    figure.suptitle(title, fontsize=13, fontweight="bold")
    for index, curve in enumerate(curves):
        _plot_loss(axes, curve, _COLOURS[index % len(_COLOURS)], f"{curve.label}: ends at {_end(curve)}")
    _limit_loss(axes, curves)
    attacked = next((curve for curve in curves if curve.attack_start is not None), None)
    if attacked is not None and attacked.attack_start is not None:
        axes.axvline(attacked.attack_start, color=_ATTACK, linestyle="--", lw=1.2, label="the attack starts")
    with_bans = [curve for curve in curves if curve.bans]
    for curve in with_bans:
        for index, ban in enumerate(curve.bans):
            label = f"an attacker is banned ({curve.label})" if index == 0 else None
            axes.axvline(ban.step, color=_BAN, linestyle=":", lw=1.0, label=label)
    axes.set_xlabel("training step (count)")
    axes.set_ylabel(f"training loss (nats), mean of the honest peers over {_WINDOW} steps")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9)
    return _save(figure, directory, name)


def _plot_loss(axes: Axes, curve: Curve, colour: str, label: str) -> None:
    """Every step pale, and a moving mean over it."""
    axes.plot(curve.steps, curve.losses, color=colour, alpha=0.3, lw=0.8)
    smooth = [statistics.fmean(curve.losses[max(0, i - _WINDOW + 1) : i + 1]) for i in range(len(curve.losses))]
    axes.plot(curve.steps, smooth, color=colour, lw=1.8, label=label)


def _end(curve: Curve) -> str:
    return number(statistics.fmean(curve.losses[-_WINDOW:])) if curve.losses else "no loss"


def _limit_loss(axes: Axes, curves: Sequence[Curve]) -> None:
    """Cut the axis above an explosion, and say how far that went."""
    starts = [statistics.median(curve.losses[:_WINDOW]) for curve in curves if curve.losses]
    if not starts or min(starts) <= 0:
        return
    ceiling = _CEILING * max(starts)
    exploded = [curve for curve in curves if max(curve.losses, default=0.0) > ceiling]
    if not exploded:
        return
    lowest = min(min(curve.losses) for curve in curves if curve.losses)
    axes.set_ylim(max(0.0, lowest - 0.1 * (ceiling - lowest)), ceiling)
    for level, curve in enumerate(exploded):
        step = next(n for n, loss in zip(curve.steps, curve.losses, strict=True) if loss > ceiling)
        axes.annotate(
            f"{'' if len(curves) == 1 else curve.label + ': '}off the scale, up to {number(max(curve.losses))}",
            (step, ceiling),
            xytext=(10, -14 - 14 * level),
            textcoords="offset points",
            fontsize=8,
            color=_ATTACK,
            bbox=_PAPER,
        )


def _mark(axes: Axes, curve: Curve) -> None:
    if curve.attack_start is not None:
        axes.axvline(curve.attack_start, color=_ATTACK, linestyle="--", lw=1.2, label="the attack starts")
    for index, ban in enumerate(curve.bans):
        axes.axvline(ban.step, color=_BAN, linestyle=":", lw=1.2, label="a peer is banned" if index == 0 else None)


def _name_bans(axes: Axes, curve: Curve) -> None:
    """Write beside each ban's line whose it is, on three levels, since bans come close after each other."""
    last = max(curve.all_steps, default=0)
    for level, ban in enumerate(curve.bans):
        left = ban.step > 0.8 * last
        axes.annotate(
            f"{ban.name} banned at step {ban.step}",
            (ban.step, 0.3 + 1.3 * (level % 3)),
            xytext=(-4 if left else 4, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=8,
            color=_BAN,
            bbox=_PAPER,
        )


def _save(figure: Figure, directory: Path, name: str) -> tuple[Path, Path]:
    directory.mkdir(parents=True, exist_ok=True)
    svg, png = directory / f"{name}.svg", directory / f"{name}.png"
    figure.savefig(svg)
    figure.savefig(png, dpi=130)
    plt.close(figure)
    return svg, png
