"""Runs of models in stages are done once, in processes, and a failed one is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from btard.errors import UserError
from btard.lab.reproductions.settings import ReproduceSettings
from btard.lab.reproductions.staged.missing_runs import run_missing
from btard.lab.reproductions.staged.run import StagedRun
from btard.lab.sweep.settings import SweepEngine


class Briefly(StagedRun):
    """What a run is timed by: it does nothing."""

    steps: int

    @property
    def name(self) -> str:
        return "briefly"

    @property
    def length(self) -> int:
        return self.steps

    def shortened(self, steps: int) -> Briefly:
        return self

    def carry_out(self, home: Path) -> dict[str, int]:
        return {}


class Doubling(StagedRun):
    """Doubles its seed, and leaves a file for each time it is run."""

    @property
    def name(self) -> str:
        return f"doubling-{self.seed}"

    @property
    def length(self) -> int:
        return 1

    def shortened(self, steps: int) -> Briefly:
        return Briefly(seed=self.seed, steps=steps)

    def carry_out(self, home: Path) -> dict[str, int]:
        if self.seed < 0:
            raise UserError("a negative seed cannot be doubled")
        (home / f"{self.name}-{len(list(home.glob(f'{self.name}-*')))}").touch()
        return {"twice": 2 * self.seed}


def test_runs_are_kept_and_a_failure_is_told(tmp_path: Path) -> None:
    good, bad = [Doubling(seed=seed) for seed in (3, 5)], Doubling(seed=-1)
    settings = ReproduceSettings(output=tmp_path, jobs=1)
    tally = run_missing([*good, bad], tmp_path, settings)
    assert tally.failed == [("doubling--1", "a negative seed cannot be doubled")] and not tally.interrupted
    again = run_missing(good, tmp_path, settings)
    for found in (tally, again):
        assert [result.found for result in found.results] == [{"twice": 6}, {"twice": 10}]
    assert not again.failed
    assert sorted(path.name for path in tmp_path.glob("doubling-*")) == ["doubling-3-0", "doubling-5-0"]


class Dying(Doubling):
    """Takes its process with it."""

    def carry_out(self, home: Path) -> dict[str, int]:
        os._exit(9)


@pytest.mark.slow
def test_a_process_that_dies_costs_its_run_alone(tmp_path: Path) -> None:
    tally = run_missing([Dying(seed=1), Doubling(seed=3)], tmp_path, ReproduceSettings(output=tmp_path, jobs=1))
    assert tally.failed == [("doubling-1", "its process ended with exit code 9")]
    assert [result.found for result in tally.results] == [{"twice": 6}]


def test_a_dry_run_only_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for estimate in (True, False):
        settings = ReproduceSettings(output=tmp_path, dry_run=True, estimate=estimate, jobs=1)
        run_missing([Doubling(seed=3)], tmp_path, settings)
        *first, last = capsys.readouterr().out.splitlines()
        assert last == "doubling-3: missing" and not list(tmp_path.iterdir())
        told = ["1 runs, 1 at a time: about 0 s (1 of 1 kinds of runs were tried)"]
        assert first == (told if estimate else [])


def test_a_cluster_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="happen in processes of this machine"):
        run_missing([], tmp_path, ReproduceSettings(output=tmp_path, engine=SweepEngine.RAY))
