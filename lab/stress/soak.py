"""Random scenarios for as long as you like: how many runs a second, and what did not hold.

    python -m btard.lab.stress.soak --seconds 60

Every seed is one scenario of `lab.chaos`. A run that fails, hangs or kills its process is told with the command that
repeats it, and the others go on.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import FrameType

from btard.lab.stress.chaos import Tally, attack_names, draw, run_one

PATIENCE_SECONDS = 120.0
"""Seconds that a processor may work on one run."""

_WAITING = 10
"""How many times as long a run may take by the clock."""

_VIOLATED = 3


class TooLongError(BaseException):
    """A run takes too long. No Exception, so that nothing on the way catches it."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Inside, alarms end what takes longer by processor time, or ten times as long by the clock: a busy machine makes
    nothing fail, and what waits for ever ends. Works in the main thread only."""

    def ring(signum: int, frame: FrameType | None) -> None:
        raise TooLongError(f"it takes more than {seconds:g} s of a processor, or {_WAITING} times that by the clock")

    alarms = {
        signal.SIGPROF: (signal.ITIMER_PROF, seconds),
        signal.SIGALRM: (signal.ITIMER_REAL, _WAITING * seconds),
    }
    before = {number: signal.signal(number, ring) for number in alarms}
    for timer, after in alarms.values():
        signal.setitimer(timer, after)
    try:
        yield
    finally:
        for timer, _ in alarms.values():
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def run_seed(seed: int, names: Sequence[str]) -> Tally:
    """Run the scenario of a seed within bounded time."""
    settings = draw(seed, names)
    try:
        with limited(PATIENCE_SECONDS):
            return run_one(settings)
    except TooLongError as error:
        return Tally(runs=1, violations=[f"{error}; repeat it by: {settings.command}"])


def soak(seconds: float, first_seed: int, names: Sequence[str], workers: int) -> Tally:
    """Run scenario after scenario in `workers` processes; a process that dies costs only its own run."""
    total, started = Tally(), time.monotonic()
    seed = first_seed
    pool = ProcessPoolExecutor(workers)
    pending: dict[Future[Tally], int] = {}
    try:
        while pending or time.monotonic() - started < seconds:
            while len(pending) < 2 * workers and time.monotonic() - started < seconds:
                pending[pool.submit(run_seed, seed, names)] = seed
                seed += 1
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            broken = False
            for future in done:
                number = pending.pop(future)
                try:
                    tally = future.result()
                except BrokenProcessPool:
                    broken = True
                    command = draw(number, names).command
                    tally = Tally(runs=1, violations=[f"a process died on this or its neighbour: {command}"])
                total.add(tally)
                for line in tally.violations:
                    print(f"seed {number}: {line}", flush=True)
            if broken:
                pool.shutdown(wait=False, cancel_futures=True)
                pool, pending = ProcessPoolExecutor(workers), {}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return total


def main(argv: Sequence[str] | None = None) -> int:
    """Soak as the words say and return the exit code: 3 when something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m btard.lab.stress.soak", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to begin new runs (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="the first seed (default: from the clock)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--attack", default=None, help="only these attacks, with commas between (default: all)")
    arguments = parser.parse_args(argv)
    names = attack_names() if arguments.attack is None else arguments.attack.split(",")
    first = int(time.time()) * 1000 if arguments.seed is None else arguments.seed
    started = time.monotonic()
    tally = soak(arguments.seconds, first, names, arguments.workers)
    elapsed = time.monotonic() - started
    print(f"{tally}; {tally.runs / elapsed:.1f} runs a second over {elapsed:.0f} s, seeds from {first}")
    return _VIOLATED if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
