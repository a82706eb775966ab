"""What it costs a peer to keep its training state for a restart: python -m benchmarks.keeping

For models of so many numbers whose optimizer keeps two more of each, and steps of so many seconds: how long one state
takes to be written and forced to the disk, how often a peer keeps one by itself then, and which share of its time that
takes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from btard.hashing import digest
from btard.identity import IdentityKey
from btard.peer.keeping.cadence import Cadence
from btard.peer.keeping.checkpoints import Checkpoints
from btard.peer.keeping.record import KeptState
from btard.round.roster import Roster, first_randomness

RUN = bytes(16)
_STATES = 5


def measure(folder: Path, numbers: int, step_seconds: float) -> tuple[float, int, float]:
    """Return seconds to keep a state, the interval in steps that follows, and the share of the time."""
    cadence = Cadence(None)
    cadence.took(step_seconds)
    checkpoints = Checkpoints(folder, RUN, cadence, 0)
    members = tuple(sorted(IdentityKey.from_seed(digest(bytes([n]))).peer_id for n in range(16)))
    taken = []
    for step in range(_STATES):
        started = time.perf_counter()
        state = bytes(12 * numbers)
        roster = Roster(step, members, frozenset(), first_randomness(0, step))
        checkpoints.keep(KeptState(RUN, roster, digest(state), state))
        taken.append(time.perf_counter() - started)
    seconds = sorted(taken)[_STATES // 2]
    cadence.cost(seconds)
    assert cadence.interval is not None
    return seconds, cadence.interval, seconds / (cadence.interval * step_seconds)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, nargs="+", default=[10_000, 1_000_000, 20_000_000])
    parser.add_argument("--step-seconds", type=float, nargs="+", default=[0.2, 1.0, 10.0])
    parser.add_argument("--directory", type=Path, default=None, help="on the disk that is to be measured")
    words = parser.parse_args()
    print("| numbers | seconds to keep | seconds a step | steps between | share of the time |\n|---|---|---|---|---|")
    for numbers in words.numbers:
        for step_seconds in words.step_seconds:
            with tempfile.TemporaryDirectory(dir=words.directory) as folder:
                seconds, interval, share = measure(Path(folder), numbers, step_seconds)
            print(f"| {numbers:,} | {seconds:.3f} | {step_seconds:g} | {interval} | {100 * share:.2f} % |")


if __name__ == "__main__":
    main()
