"""A sweep as its command runs it: what it would take, the trials, the runs, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from btard.lab.study.results import CompleteRun, read_result
from btard.lab.sweep.engines import engine_of
from btard.lab.sweep.estimate import estimated
from btard.lab.sweep.grid import Grid, PlannedRun, planned
from btard.lab.sweep.missing_runs import Engine, SweepTally, prepare, run_missing, tune
from btard.lab.sweep.settings import ManyRunsSettings
from btard.lab.sweep.sweep_folder import SweepFolder
from btard.lab.sweep.telling import estimate_sentence, tally_sentence, told
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


def sweep(grid: Grid, settings: ManyRunsSettings, engine: Engine | None = None) -> Sweep:
    """Do all runs of a grid that are missing, and return what the complete ones have left.

    Args:
        engine: carries runs out; the one of the settings if not given.

    Raises:
        UserError: the grid or the output cannot be used, or the engine is not there.
    """
    folder = SweepFolder(settings.output) if settings.dry_run else prepare(grid, settings.output)
    runs = planned(grid)
    missing = folder.missing(runs)
    if settings.estimate and missing:
        expected = estimated(missing, settings.threads)
        print(estimate_sentence(expected, len(missing), settings.at_a_time), flush=True)
    if settings.dry_run:
        for run in runs:
            print(f"{run.name}: {run.refusal or ('missing' if run in missing else 'complete')}")
        return Sweep(refused=[run for run in runs if run.refusal is not None])
    engine = engine or engine_of(settings)
    with told(len(missing), "trials") as listener:
        chosen, tally = tune(grid, folder, engine, listener)
    if tally.interrupted:
        return Sweep(tally=tally)
    runs = planned(grid, chosen)
    with told(len(folder.missing(runs)), grid.name) as listener:
        tally = run_missing(runs, folder, engine, listener)
    print(tally_sentence(tally))
    for path, reason in tally.failed:
        print(f"failed: {path}: {reason}")
    return Sweep(complete_results(runs, folder), [run for run in runs if run.refusal is not None], tally)


def complete_results(runs: Sequence[PlannedRun], folder: SweepFolder) -> list[CompleteRun]:
    """Return what the complete runs have left."""
    return [
        read_result(folder.place(run), run.settings, {**run.labels, "seed": run.settings.seed})
        for run in runs
        if run.refusal is None and folder.place(run).exists()
    ]
