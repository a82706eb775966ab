"""How long people wait for a program: `--help` of each, and from `btard-peer` typed to "joined"; on a warm cache.

python -m benchmarks.startup
python -m benchmarks.startup --help-only

Every program is a process of its own. The processor time is what it takes on a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from btard.cli import deploy, main, pipeline

SCRIPTS = {"btard": "btard.cli.main", "btard-peer": "btard.cli.peer", "btard-coordinator": "btard.cli.coordinator"}
"""The console scripts, and the modules whose `main` they call."""

AIM_SECONDS = 0.7
"""Seconds until a text of help, on an idle machine."""

PATIENCE_SECONDS = 120.0


def programs() -> list[str]:
    """Return every program that has a `--help` of its own, as it is typed."""
    return [
        *SCRIPTS,
        *(f"btard {name}" for name in main.COMMANDS),
        *(f"btard key {name}" for name in ("show", "backup", "restore")),
        *(f"btard data {name}" for name in ("tasks", "prepare")),
        *(f"btard pipeline {name}" for name in pipeline.COMMANDS),
        *(f"btard lab {name}" for name in ("run", "sweep", "study", "reproduce")),
        "btard deploy aws",
        *(f"btard deploy aws {name}" for name in deploy.COMMANDS),
    ]


def await_line(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Return the match of the first line of standard error that has the pattern; raises RuntimeError at its end."""
    assert process.stderr is not None
    for line in process.stderr:
        if match := re.search(pattern, line):
            return match
    raise RuntimeError(f"{process.args} ended without saying {pattern!r}")


def joined_after(task: str, directory: Path) -> float:
    """Return the seconds that a peer needs until it says that it joined a coordinator that waits for one peer."""
    words = f"--experiment startup --task {task} --size tiny --host 127.0.0.1 --dht-port 0 --peers 1"
    coordinator = subprocess.Popen(
        [*_script("btard-coordinator"), *words.split(), "--directory", directory / "coordinator"],
        stderr=subprocess.PIPE,
        text=True,
    )
    address = await_line(coordinator, r"--initial-peers (\S+)").group(1)
    start = time.monotonic()
    words = f"--initial-peers {address} --host 127.0.0.1"
    peer = subprocess.Popen(
        [*_script("btard-peer"), *words.split(), "--directory", directory / "peer"], stderr=subprocess.PIPE, text=True
    )
    try:
        await_line(peer, r"\bjoined\b")
        return time.monotonic() - start
    finally:
        for process in (peer, coordinator):
            process.terminate()
        for process in (peer, coordinator):
            process.communicate(timeout=PATIENCE_SECONDS)


def help_after(program: str) -> tuple[float, float]:
    """Return the seconds that the help of a program takes, and the seconds of processor time."""
    name, *words = program.split()
    start, before = time.monotonic(), os.times()
    subprocess.run([*_script(name), *words, "--help"], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - start, used


def _script(name: str) -> list[str]:
    """Return how a console script is started: as its module, so that a checkout need not be installed anew."""
    return [sys.executable, "-m", SCRIPTS[name]]


def tell_helps(rounds: int) -> None:
    """Print a row for the help of each program."""
    print(f"{'--help of':30} {'median s':>9} {'min':>6} {'max':>6} {'processor s':>12}")
    worst = 0.0
    for program in programs():
        taken = [help_after(program) for _ in range(rounds + 1)][1:]
        waits, used = [wait for wait, _ in taken], statistics.median(used for _, used in taken)
        worst = max(worst, used)
        print(f"{program:30} {statistics.median(waits):9.2f} {min(waits):6.2f} {max(waits):6.2f} {used:12.2f}")
    print(f"the slowest needs {worst:.2f} s of processor time; the aim is {AIM_SECONDS:g} s")


def tell_joins(task: str, rounds: int) -> None:
    """Print how long a peer takes to join."""
    joins = []
    for _ in range(rounds + 1):
        with tempfile.TemporaryDirectory() as directory:
            joins.append(joined_after(task, Path(directory)))
    taken = joins[1:]
    print(f"btard-peer to joined: median {statistics.median(taken):.2f} s, min {min(taken):.2f}, max {max(taken):.2f}")


def run() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="gpt", help="what the run trains (default: gpt)")
    parser.add_argument("--rounds", type=int, default=3, help="runs after one to warm up (default: 3)")
    parser.add_argument("--help-only", action="store_true", help="start no swarm")
    arguments = parser.parse_args()
    tell_helps(arguments.rounds)
    if not arguments.help_only:
        tell_joins(arguments.task, arguments.rounds)


if __name__ == "__main__":
    run()
