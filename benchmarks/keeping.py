"""What it costs a peer to keep its training state for a restart: python -m benchmarks.keeping

For models of so many numbers whose optimizer keeps two more of each, and steps of so many seconds: how long one state
takes to be written and forced to the disk, and the minutes of its step among 16 members, how often a peer keeps both by
itself then, and which share of its time that takes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from btard.durable import write_durably
from btard.hashing import digest
from btard.lab.simulation.settings import SimulateSettings
from btard.lab.simulation.simulation import Simulation
from btard.peer.keeping.cadence import Cadence
from btard.peer.keeping.checkpoints import Checkpoints
from btard.peer.keeping.minutes import KeptMinutes
from btard.peer.keeping.record import KeptState
from btard.round.roster import Roster

RUN = bytes(16)
_STATES = 5


def minutes_among(members: int) -> tuple[bytes, Roster]:
    """Return the minutes of a first step, without the aggregates, and the roster that follows."""
    settings = SimulateSettings(peers=members, steps=1, task="none", dimension=256, validators=0.0)
    peer = Simulation(settings).run().honest[0]
    minutes, following = peer.session.legacy.minutes(1), peer.roster
    assert minutes is not None and following is not None
    return minutes.encode(), following


def measure(
    folder: Path, numbers: int, step_seconds: float, minutes: bytes, following: Roster
) -> tuple[float, float, int, float]:
    """Return seconds to keep a state, and the minutes of its step, the interval in steps that follows, and the share
    of the time."""
    cadence = Cadence(None)
    cadence.took(step_seconds)
    checkpoints = Checkpoints(folder, RUN, cadence, 0)
    states, beside = [], []
    for step in range(_STATES):
        started = time.perf_counter()
        state = bytes(12 * numbers)
        checkpoints.keep(KeptState(RUN, replace(following, step=step), digest(state), state))
        kept = time.perf_counter()
        made = KeptMinutes(RUN, following, digest(state), minutes, bytes(4 * numbers))
        write_durably(folder / "minutes", made.encode())
        states.append(kept - started)
        beside.append(time.perf_counter() - kept)
    state_seconds, minutes_seconds = (statistics.median(taken) for taken in (states, beside))
    cadence.cost(state_seconds + minutes_seconds)
    assert cadence.interval is not None
    share = (state_seconds + minutes_seconds) / (cadence.interval * step_seconds)
    return state_seconds, minutes_seconds, cadence.interval, share


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, nargs="+", default=[10_000, 1_000_000, 20_000_000])
    parser.add_argument("--step-seconds", type=float, nargs="+", default=[0.2, 1.0, 10.0])
    parser.add_argument("--directory", type=Path, default=None, help="on the disk that is to be measured")
    words = parser.parse_args()
    minutes, following = minutes_among(16)
    print(f"the minutes of 16 members, without the aggregates: {len(minutes):,} bytes")
    print("| numbers | seconds to keep the state | the minutes | seconds a step | steps between | share of the time |")
    print("|---|---|---|---|---|---|")
    for numbers in words.numbers:
        for step_seconds in words.step_seconds:
            with tempfile.TemporaryDirectory(dir=words.directory) as folder:
                kept = measure(Path(folder), numbers, step_seconds, minutes, following)
            state, beside, interval, share = kept
            print(f"| {numbers:,} | {state:.3f} | {beside:.3f} | {step_seconds:g} | {interval} | {100 * share:.2f} % |")


if __name__ == "__main__":
    main()
