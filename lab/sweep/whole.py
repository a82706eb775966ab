"""A sweep as its command runs it: what it would take, the trials, the runs, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from btard.lab.study.results import CompleteRun, read_result
from btard.lab.sweep.campaign import Engine, SweepTally, prepare, run_missing, tune
from btard.lab.sweep.engines import engine_of
from btard.lab.sweep.forecast import forecast
from btard.lab.sweep.grid import Grid, PlannedRun, planned
from btard.lab.sweep.settings import CampaignSettings
from btard.lab.sweep.shelf import RunShelf
from btard.lab.sweep.telling import forecast_sentence, tally_sentence, told
from btard.vocabulary import ExitCode


@dataclass(frozen=True)
class Sweep:
    """What a sweep has come to.

    Attributes:
        results: of the runs that are complete.
        refused: runs whose rule cannot be used.
        tally: of this time.
    """

    results: Sequence[CompleteRun] = ()
    refused: Sequence[PlannedRun] = ()
    tally: SweepTally = field(default_factory=SweepTally)

    @property
    def exit_code(self) -> ExitCode:
        """How the command ends: FAILED if a run did."""
        if self.tally.interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.FAILED if self.tally.failed else ExitCode.FINISHED


def sweep(grid: Grid, settings: CampaignSettings, engine: Engine | None = None) -> Sweep:
    """Do all runs of a grid that are missing, and return what the complete ones have left.

    Args:
        engine: carries runs out; the one of the settings if not given.

    Raises:
        UserError: the grid or the output cannot be used, or the engine is not there.
    """
    shelf = RunShelf(settings.output) if settings.dry_run else prepare(grid, settings.output)
    runs = planned(grid)
    missing = shelf.missing(runs)
    if settings.estimate and missing:
        print(forecast_sentence(forecast(missing), len(missing), settings.at_a_time), flush=True)
    if settings.dry_run:
        for run in runs:
            print(f"{run.name}: {run.refusal or ('missing' if run in missing else 'complete')}")
        return Sweep(refused=[run for run in runs if run.refusal is not None])
    engine = engine or engine_of(settings)
    with told(len(missing), "trials") as listener:
        chosen, tally = tune(grid, shelf, engine, listener)
    if tally.interrupted:
        return Sweep(tally=tally)
    runs = planned(grid, chosen)
    with told(len(shelf.missing(runs)), grid.name) as listener:
        tally = run_missing(runs, shelf, engine, listener)
    print(tally_sentence(tally))
    for path, reason in tally.failed:
        print(f"failed: {path}: {reason}")
    return Sweep(complete_results(runs, shelf), [run for run in runs if run.refusal is not None], tally)


def complete_results(runs: Sequence[PlannedRun], shelf: RunShelf) -> list[CompleteRun]:
    """Return what the complete runs have left."""
    return [
        read_result(shelf.place(run), run.settings, {**run.labels, "seed": run.settings.seed})
        for run in runs
        if run.refusal is None and shelf.place(run).exists()
    ]
