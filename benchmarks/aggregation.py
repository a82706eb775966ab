"""CenteredClip against the implementations that others publish, row for row in one run.

    make bench-deps
    .venv/bin/python -m benchmarks.aggregation --threads 2

The libraries stay outside the environment: byzfl's own requirements pull in a torchvision that breaks it. A library
that is missing is a line in the table, not an error. Times are medians of repetitions that alternate between the
contestants, so that a noisy machine hits all of them alike; compare the ratios. With one thread the ratio of the
processor times is meaningful even on a busy machine. The libraries run a fixed number of steps: the table gives each
its published default and 100 steps, with the relative residual that is left (see `centered_clip`).
"""

import argparse
import importlib
import math
import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import torch

from btard.aggregation import BadRow, centered_clip

BENCH = Path(__file__).resolve().parent.parent / ".bench"
INSTALL = "make bench-deps"
SIZES = ((16, 1_000_000), (64, 250_000))
REPETITIONS = 5
# A contestant slower than this is timed once.
SLOW = {"byzfl, 100 steps", "byzpy, 100 steps", "textbook step, to 1e-6"}
SLOW_SECONDS = 1.0

Aggregate = Callable[[torch.Tensor], torch.Tensor]


def byzfl_clipping(tau: float, steps: int) -> Aggregate:
    # byzfl's package imports all of its experiments; a bare package with its path gives the aggregators alone.
    if "byzfl" not in sys.modules:
        package = types.ModuleType("byzfl")
        package.__path__ = [str(BENCH / "byzfl")]
        sys.modules["byzfl"] = package
    rule = importlib.import_module("byzfl.aggregators.aggregators").CenteredClipping
    return lambda rows: rule(L=steps, tau=tau)(rows)


def byzpy_clipping(tau: float, steps: int) -> Aggregate:
    if str(BENCH) not in sys.path:
        sys.path.append(str(BENCH))
    rule = importlib.import_module("byzpy.aggregators.norm_wise.center_clipping").CenteredClipping
    return lambda rows: rule(c_tau=tau, M=steps, init="median").aggregate(list(rows))


def textbook(tau: float) -> Aggregate:
    """The published step (1/n, from the coordinate-wise median) until it moves by less than 1e-6 of what it clips."""

    def aggregate(rows: torch.Tensor) -> torch.Tensor:
        v = rows.median(dim=0).values
        for _ in range(2000):
            differences = rows - v
            distances = differences.norm(dim=1)
            step = (differences * (tau / distances).clamp(max=1)[:, None]).mean(0)
            v = v + step
            if step.norm() <= 1e-6 * distances.clamp(max=tau).mean():
                break
        return v

    return aggregate


def contestants(tau: float, quick: bool) -> dict[str, Aggregate | str]:
    entries: dict[str, Callable[[], Aggregate]] = {
        "this project, to 1e-6": lambda: lambda rows: centered_clip(rows, tau=tau).value,
        "this project, rows in separate buffers": lambda: lambda rows: centered_clip(list(rows), tau=tau).value,
        "torch.mean (no defence)": lambda: lambda rows: rows.mean(0),
        "byzfl, 1 step (default)": lambda: byzfl_clipping(tau, 1),
        "byzfl, 100 steps": lambda: byzfl_clipping(tau, 100),
        "byzpy, 10 steps (default)": lambda: byzpy_clipping(tau, 10),
        "byzpy, 100 steps": lambda: byzpy_clipping(tau, 100),
        "textbook step, to 1e-6": lambda: textbook(tau),
    }
    found: dict[str, Aggregate | str] = {}
    for name, load in entries.items():
        if quick and name in SLOW:
            continue
        try:
            found[name] = load()
        except ImportError as missing:
            found[name] = f"not installed ({missing}): {INSTALL}"
    return found


def residual(rows: torch.Tensor, v: torch.Tensor, tau: float) -> float:
    total, size = torch.zeros(rows.shape[1], dtype=torch.float64), 0.0
    for row in rows:
        difference = row.double() - v.double()
        distance = float(difference.norm())
        total += difference * min(1.0, tau / distance)
        size += min(tau, distance)
    return float(total.norm()) / size


def seconds(aggregate: Aggregate, rows: torch.Tensor) -> tuple[float, float]:
    """Wall time and processor time of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    aggregate(rows)
    return time.perf_counter() - wall, time.process_time() - processor


def speed(n: int, d: int, attack: str, relative_tau: float, quick: bool) -> None:
    torch.manual_seed(0)
    rows = torch.randn(n, d)
    hostile = n // 2 - 1
    rows[:hostile] = -1000 * rows[:hostile] if attack == "sign flip x1000" else 1000 * torch.randn(d)
    tau = relative_tau * math.sqrt(d)
    entries = contestants(tau, quick)
    runnable = {name: entry for name, entry in entries.items() if not isinstance(entry, str)}
    times = {name: [seconds(entry, rows)] for name, entry in runnable.items()}
    for _ in range(REPETITIONS):
        for name, entry in runnable.items():
            if times[name][0][0] < SLOW_SECONDS:
                times[name].append(seconds(entry, rows))
    # The first call of each warms caches and allocators; it counts only where it is the only one.
    walls, processors = (
        {name: statistics.median(pair[which] for pair in taken[1:] or taken) for name, taken in times.items()}
        for which in (0, 1)
    )
    wall, processor = next(iter(walls.values())), next(iter(processors.values()))
    print(
        f"\n{n} x {d:,}, {hostile} rows {attack}, tau = {relative_tau} deviations, {torch.get_num_threads()} threads\n"
    )
    print("| | median ms | ratio | ratio of processor time | relative residual |\n|---|---:|---:|---:|---:|")
    for name, entry in entries.items():
        if isinstance(entry, str):
            print(f"| {name} | {entry} | | | |")
            continue
        left = residual(rows, entry(rows), tau)
        ratios = f"{walls[name] / wall:.2f} | {processors[name] / processor:.2f}"
        print(f"| {name} | {1e3 * walls[name]:.1f} | {ratios} | {left:.1e} |", flush=True)


def hostile_values(quick: bool) -> None:
    """One of 16 rows is poisoned; a good answer is a result near the honest mean, or a refusal that names the row."""
    torch.manual_seed(0)
    honest = torch.randn(16, 100_000)
    tau = math.sqrt(100_000)
    mean = honest[1:].mean(0)
    poisons: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "all NaN": lambda row: torch.full_like(row, math.nan),
        "one NaN coordinate": lambda row: torch.cat([torch.tensor([math.nan]), row[1:]]),
        "one infinite coordinate": lambda row: torch.cat([torch.tensor([math.inf]), row[1:]]),
        "x 1e6": lambda row: row * 1e6,
        "x 1e12": lambda row: row * 1e12,
        "x 1e30": lambda row: row * 1e30,
    }
    entries = contestants(tau, quick)
    print("\nOne hostile row of 16 x 100,000: distance of the result from the honest mean, in tau\n")
    print("| | " + " | ".join(poisons) + " |\n|---|" + "---|" * len(poisons))
    for name, entry in entries.items():
        if isinstance(entry, str):
            print(f"| {name} | {entry} |" + " |" * (len(poisons) - 1))
            continue
        cells = []
        for poison in poisons.values():
            rows = honest.clone()
            rows[0] = poison(honest[0])
            try:
                distance = float((entry(rows) - mean).norm()) / tau
                cells.append(f"{distance:.2f}" if math.isfinite(distance) else "not finite")
            except BadRow as refusal:
                cells.append(f"refused: row {refusal.index}")
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description="CenteredClip against published implementations")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch threads (default: all)")
    parser.add_argument("--quick", action="store_true", help="leave out those that take many seconds a call")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for n, d in SIZES:
        speed(n, d, "sign flip x1000", 1.0, arguments.quick)
        speed(n, d, "in a common direction", 0.3, arguments.quick)
    hostile_values(arguments.quick)


if __name__ == "__main__":
    main()
