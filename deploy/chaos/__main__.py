"""A swarm of real peers and a coordinator, to which something happens every 30 to 45 seconds.

python -m btard.deploy.chaos --seconds 900 --seed 1

It ends with 0 if the run has gone on to the end as it must, and with 3 and a sentence for each thing that was wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from btard.deploy.chaos.storm import Storm, left_behind
from btard.deploy.chaos.table import running, settings_for, temporary_files
from btard.deploy.local.plan import make_plan
from btard.program import guarded

PROGRAM = "python -m btard.deploy.chaos"
_FOUND_WRONG = 3


def main(argv: Sequence[str]) -> int:
    """Let it storm, and tell what has come of it."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=90.0, help="how long it lasts (default: 90)")
    parser.add_argument("--seed", type=int, default=1, help="of the accidents and the run (default: 1)")
    parser.add_argument("--peers", type=int, default=8, help="that train (default: 8)")
    parser.add_argument("--deadlines", choices=("swarm", "coordinator"), default="coordinator")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="btard-chaos-") as folder:
        directory = Path(folder) / "run"
        plan = make_plan(settings_for(given.peers, given.seed, directory, given.deadlines))
        with running(plan) as swarm:
            weather = Storm(swarm, given.seed, _tell).blow(given.seconds)
        wrong = [*weather.wrong, *left_behind(directory, temporary_files(directory))]
    happened = ", ".join(f"{count} x {accident}" for accident, count in sorted(weather.accidents.items()))
    print(f"{happened}: {weather.steps} steps of {weather.expected:.0f}, {weather.lost:.0%} lost")
    print(f"memory {weather.grown:+.1%}")
    for each in wrong:
        print(f"wrong: {each}")
    return _FOUND_WRONG if wrong else 0


def _tell(words: str) -> None:
    print(words, flush=True)


if __name__ == "__main__":
    sys.exit(guarded(PROGRAM, lambda: main(sys.argv[1:])))
