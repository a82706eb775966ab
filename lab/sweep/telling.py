"""What a sweep says while it runs: a bar with the time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from btard.lab.sweep.estimate import SweepEstimate
from btard.lab.sweep.missing_runs import Listener, SweepTally
from btard.lab.sweep.running import Outcome, RunEnd

_LINE_SECONDS = 10.0


@contextmanager
def told(total: int, what: str) -> Iterator[Listener]:
    """Inside, the listener shows how far the runs are; it counts the runs that failed."""
    if sys.stderr.isatty():
        yield from _bar(total, what)
    else:
        yield from _lines(what)


def _bar(total: int, what: str) -> Iterator[Listener]:
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("[red]{task.fields[failed]}")) as progress:
        task = progress.add_task(what, total=total, failed="")
        failed = 0

        def tell(outcome: Outcome, ended: int, _: int) -> None:
            nonlocal failed
            failed += outcome.end is RunEnd.FAILED
            progress.update(task, completed=ended, failed=f"{failed} failed" if failed else "")

        yield tell


def _lines(what: str) -> Iterator[Listener]:
    begun = said = time.monotonic()

    def tell(outcome: Outcome, ended: int, of: int) -> None:
        nonlocal said
        now = time.monotonic()
        if outcome.end is RunEnd.FAILED:
            print(f"{what}: a run failed: {outcome.reason}", file=sys.stderr)
        if now - said < _LINE_SECONDS and ended < of:
            return
        said = now
        left = (now - begun) / ended * (of - ended)
        print(f"{what}: {ended} of {of}, {duration(left)} left", file=sys.stderr, flush=True)

    yield tell


def estimate_sentence(found: SweepEstimate, runs: int, jobs: int) -> str:
    """Return how long a sweep takes, in words."""
    tried = f"{found.probed} of {found.kinds} kinds of runs were tried"
    if found.refusals:
        tried += f"; {len(found.refusals)} cannot run: {found.refusals[0]}"
    expected = "no forecast" if found.seconds is None else f"about {duration(found.seconds / jobs)}"
    return f"{runs} runs, {jobs} at a time: {expected} ({tried})"


def tally_sentence(tally: SweepTally) -> str:
    """Return what became of a sweep's runs, in words."""
    parts = [f"{tally.completed} runs completed"]
    for count, words in (
        (tally.done_before, "were there before"),
        (tally.refused, "refused, since their rule needs more workers"),
        (len(tally.failed), "failed"),
    ):
        if count:
            parts.append(f"{count} {words}")
    return ", ".join(parts) + (", interrupted" if tally.interrupted else "")


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
