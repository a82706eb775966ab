"""Where the runs of a grid lie, and which of them are done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from btard.lab.sweep.grid import PlannedRun
from btard.lab.sweep.versions import run_key


class SweepFolder:
    """A directory with a directory for each run, `NAME-KEY`. The key stands for settings and code, so a run of older
    code is not taken for one of today's.

    Attributes:
        path: of the whole sweep.
    """

    def __init__(self, path: Path) -> None:
        """Name the directory; it need not exist."""
        self.path = path

    def place(self, run: PlannedRun) -> Path:
        """Where a run's files lie once it is complete."""
        return self.path / "runs" / f"{run.name}-{run_key(run.digest)}"

    def missing(self, runs: Iterable[PlannedRun]) -> list[PlannedRun]:
        """Return the runs that are neither complete nor refused by their rule, in their order."""
        return [run for run in runs if run.refusal is None and not self.place(run).exists()]

    def failures(self, runs: Sequence[PlannedRun]) -> list[Path]:
        """Return the directories of attempts that failed, of runs that are still missing."""
        places = [self.place(run) for run in self.missing(runs)]
        return [found for place in places for found in sorted(place.parent.glob(f"{place.name}.failed*"))]
