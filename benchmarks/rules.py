"""Aggregation rules against the implementations that others publish, row for row in one run.

    make bench-deps
    OMP_NUM_THREADS=2 .venv/bin/python -m benchmarks.rules

Contestants take turns, so that a busy machine hits all alike, and the best time of each counts; compare the ratios.
With `--threads 1`, processor times and their ratio mean something even on a busy machine. The libraries stay outside
the environment, and one that is missing is left out. `agrees` is the largest difference of the results relative to the
largest coordinate; a rule that others define otherwise says so there.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from btard.aggregation import make_rule

BENCH = Path(__file__).resolve().parent.parent / ".bench"
Contestant = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Rival:
    """Somebody's implementation of a rule.

    Attributes:
        library: its name.
        made: returns it for f liars.
        same: whether it has our definition, so that results must agree.
    """

    library: str
    made: Callable[[int], Contestant]
    same: bool = True


def byzfl(name: str, **settings: object) -> Callable[[int], Contestant]:
    """Return what makes a rule of byzfl; its package imports all of its experiments, so only the modules are loaded."""

    def made(f: int) -> Contestant:
        if "byzfl" not in sys.modules:
            package = types.ModuleType("byzfl")
            package.__path__ = [str(BENCH / "byzfl")]
            sys.modules["byzfl"] = package
        rules = importlib.import_module("byzfl.aggregators.aggregators")
        before = importlib.import_module("byzfl.aggregators.preaggregators")
        parts = []
        for part in name.split("+"):
            kind = getattr(rules, part, None) or getattr(before, part)
            parts.append(kind(**(settings if part in ("Average", "Median", "GeometricMedian") else {"f": f})))

        def run(rows: torch.Tensor) -> torch.Tensor:
            for part in parts:
                rows = part(rows)
            return rows

        return run

    return made


def torchjd(name: str, keys: Callable[[int], dict[str, int]]) -> Callable[[int], Contestant]:
    """Return what makes a rule of torchjd with settings that depend on f."""

    def made(f: int) -> Contestant:
        if str(BENCH) not in sys.path:
            sys.path.append(str(BENCH))
        rule = getattr(importlib.import_module("torchjd.aggregation"), name)(**keys(f))
        return lambda rows: rule(rows)

    return made


def byzpy(module: str, name: str) -> Callable[[int], Contestant]:
    """Return what makes a rule of byzpy."""

    def made(f: int) -> Contestant:
        if str(BENCH) not in sys.path:
            sys.path.append(str(BENCH))
        rule = getattr(importlib.import_module(f"byzpy.aggregators.{module}"), name)(f=f)
        return lambda rows: rule.aggregate(list(rows))

    return made


RIVALS: dict[str, tuple[Rival, ...]] = {
    "mean": (Rival("byzfl", byzfl("Average")),),
    "coordinate_median": (Rival("byzfl", byzfl("Median"), same=False),),
    "trimmed_mean": (
        Rival("byzfl", byzfl("TrMean")),
        Rival("torchjd", torchjd("TrimmedMean", lambda f: {"trim_number": f})),
    ),
    "meamed": (Rival("byzfl", byzfl("Meamed"), same=False),),
    "krum": (
        Rival("byzfl", byzfl("Krum"), same=False),
        Rival("torchjd", torchjd("Krum", lambda f: {"n_byzantine": f, "n_selected": 1})),
    ),
    "multi_krum": (
        Rival("byzfl", byzfl("MultiKrum"), same=False),
        Rival("torchjd", torchjd("Krum", lambda f: {"n_byzantine": f, "n_selected": 16 - f})),
    ),
    "mda": (Rival("byzfl", byzfl("MDA")),),
    "monna": (Rival("byzfl", byzfl("MoNNA")),),
    "cge": (Rival("byzpy", byzpy("norm_wise.comparative_gradient_elimination", "ComparativeGradientElimination")),),
    "geometric_median": (Rival("byzfl", byzfl("GeometricMedian", T=100), same=False),),
    "caf": (Rival("byzfl", byzfl("CAF"), same=False),),
    "nnm+trimmed_mean": (Rival("byzfl", byzfl("NNM+TrMean")),),
    "adaptive_clipping+mean": (Rival("byzfl", byzfl("ARC+Average")),),
    "bulyan": (),
    "phocas": (),
    "aksel": (),
    "dnc": (),
    "sign_majority": (),
    "centered_clip:tau=1000": (),
}
"""Differences of definition: byzfl's median is the lower one, its Krum counts a row among its n - f neighbours, its
geometric median smooths with 0.1, and its CAF draws the start of one step of the power method."""


def seconds(contestant: Contestant, rows: torch.Tensor) -> tuple[float, float, torch.Tensor]:
    """Return how long one call takes, how much processor time, and what it gives."""
    start, used = time.perf_counter(), time.process_time()
    value = contestant(rows)
    return time.perf_counter() - start, time.process_time() - used, value


def compare(name: str, rows: torch.Tensor, f: int, repetitions: int) -> None:
    """Print a line for our rule and one for each rival."""
    rule = make_rule(name)
    contestants: dict[str, tuple[Contestant, bool]] = {
        "btard": (lambda given: rule.aggregate(given, n_byzantine=f).value, True)
    }
    for rival in RIVALS[name]:
        try:
            contestants[rival.library] = (rival.made(f), rival.same)
        except ImportError as missing:
            print(f"| {name} | {rival.library} | not installed: {missing} | | | | |")
    best: dict[str, float] = {}
    least: dict[str, float] = {}
    values: dict[str, torch.Tensor] = {}
    for _ in range(repetitions):
        for who, (contestant, _) in contestants.items():
            if best.get(who, 0.0) < 2.0:  # slower ones take their turn once
                took, used, values[who] = seconds(contestant, rows)
                best[who], least[who] = min(took, best.get(who, took)), min(used, least.get(who, used))
    for who, (_, same) in contestants.items():
        difference = float((values[who] - values["btard"]).abs().max() / values["btard"].abs().max())
        agrees = f"{difference:.0e}" if same else f"defined otherwise ({difference:.0e})"
        times = " | ".join(f"{1e3 * of[who]:.1f} | {of[who] / of['btard']:.1f}" for of in (best, least))
        print(f"| {name} | {who} | {times} | {agrees} |", flush=True)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description="aggregation rules against published implementations")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--dimension", type=int, default=1_000_000)
    parser.add_argument("--byzantine", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=list(RIVALS), choices=list(RIVALS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = torch.randn(arguments.rows, arguments.dimension, generator=torch.Generator().manual_seed(0))
    print(
        f"{arguments.rows} x {arguments.dimension:,} float32, f = {arguments.byzantine}, {arguments.threads} threads, "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n"
    )
    print("| rule | of | ms | ratio | ms of processors | ratio | agrees |\n|---|---|---:|---:|---:|---:|---|")
    for name in arguments.only:
        compare(name, rows, arguments.byzantine, arguments.repetitions)


if __name__ == "__main__":
    main()
