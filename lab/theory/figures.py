"""Figures of the laboratory, each as SVG and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from btard.lab.theory.waits import Result

_BLUE, _ORANGE, _GREY = "#1f5fa8", "#d1661c", "#666666"


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "btard", "font.size": 9, "axes.grid": True, "grid.alpha": 0.25})
    import matplotlib.pyplot as plt

    return plt


def save(figure: Any, directory: Path, name: str) -> None:
    """Write a figure as SVG and PNG, without a date, so that the same numbers give the same files."""
    figure.savefig(directory / f"{name}.svg", metadata={"Date": None})
    figure.savefig(directory / f"{name}.png", dpi=150, metadata={"Software": None})


def bans_figure(results: Sequence[Result], directory: Path) -> None:
    """Draw how the steps until the last ban are distributed, and the means beside the closed form."""
    plt = _pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    figure.suptitle("Steps until validators have banned every attacker (all attack in every step)")
    colours = iter((_BLUE, _ORANGE, "#3a8a4d", "#8250a0", _GREY))
    drawn: dict[tuple[int, int, int], str] = {}
    for result in results:
        case = (result.peers, result.attackers, result.validators)
        colour = drawn.setdefault(case, next(colours)) if case not in drawn else drawn[case]
        steps = sorted(result.steps)
        share = [100 * (i + 1) / len(steps) for i in range(len(steps))]
        whole = result.source == "protocol"
        label = f"{case[1]} of {case[0]}, {case[2]} validator{'s' * (case[2] > 1)}"
        left.plot(
            steps,
            share,
            color=colour,
            linestyle="--" if whole else "-",
            drawstyle="steps-post",
            label=f"{label}{', whole protocol' if whole else ''}",
        )
    left.set_xlabel("steps after the first attack")
    left.set_ylabel("runs with no attacker left (%)")
    left.set_title("Distribution")
    left.set_xlim(left=0)
    left.legend(loc="lower right", fontsize=8)

    names = []
    for row, result in enumerate(results):
        low, high = result.interval
        case = (result.peers, result.attackers, result.validators)
        right.errorbar(
            result.mean, row, xerr=[[result.mean - low], [high - result.mean]], fmt="o", color=drawn[case], capsize=4
        )
        right.plot(result.expected, row, marker="|", markersize=22, color="black", linestyle="none")
        text = "whole protocol" if result.source == "protocol" else "draws alone"
        names.append(f"{case[1]} of {case[0]}, m = {case[2]}\n{text}, {len(result.steps)} runs")
    right.set_yticks(range(len(results)), names)
    right.invert_yaxis()
    right.margins(y=0.15)
    right.set_xscale("log")
    right.set_xticks([20, 40, 80, 160], ["20", "40", "80", "160"])
    right.minorticks_off()
    right.set_xlabel("mean steps until the last ban")
    right.set_title("Mean, 95 % interval, closed form (black)")
    save(figure, directory, "steps-until-banned")
    plt.close(figure)
