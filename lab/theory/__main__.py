"""The steps until all attackers are banned beside the closed form: a table, a figure, and the numbers behind them.

python -m btard.lab.theory --output docs/images
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from btard.lab.theory.figures import bans_figure
from btard.lab.theory.waits import Result, simulate_draws, simulate_protocol

CASES = ((16, 7, 1), (16, 7, 2), (16, 3, 1), (64, 31, 1))
"""(peers, attackers, validators a step) of the published comparison."""

PROTOCOL_CASE = (16, 7, 1)


def table(results: Iterable[Result]) -> str:
    """Return the comparison as a Markdown table."""
    lines = [
        "| peers | attackers | validators | mean, closed form | measured, 95 % interval | p95, closed form "
        "| measured, 95 % interval | runs | simulated |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        low, high = r.interval
        what = "draws alone" if r.source == "draws" else "whole protocol"
        lines.append(
            f"| {r.peers} | {r.attackers} | {r.validators} | {r.expected:.1f} | {r.mean:.1f} ({low:.1f} to {high:.1f}) "
            f"| {r.expected_p95} | {r.p95} ({r.p95_interval[0]} to {r.p95_interval[1]}) | {len(r.steps)} | {what} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate all cases, print the table, write figure and numbers, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m btard.lab.theory", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--output", type=Path, default=Path("docs/images"), help="directory of figure and numbers")
    parser.add_argument("--runs", type=int, default=1000, help="runs of the draws alone (default: 1000)")
    parser.add_argument("--protocol-runs", type=int, default=60, help="runs of the whole protocol (default: 60)")
    arguments = parser.parse_args(argv)
    results = [simulate_draws(*case, arguments.runs) for case in CASES]
    if arguments.protocol_runs > 1:
        results.insert(1, simulate_protocol(*PROTOCOL_CASE, arguments.protocol_runs))
    print(table(results))
    arguments.output.mkdir(parents=True, exist_ok=True)
    bans_figure(results, arguments.output)
    numbers = [asdict(r) | {"mean": r.mean, "interval": r.interval, "expected": r.expected} for r in results]
    (arguments.output / "steps-until-banned.json").write_text(json.dumps(numbers) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
