"""A sweep from its grid to complete runs: what is tuned first, what is missing is run, what failed is told."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from btard.durable import write_durably
from btard.errors import UserError
from btard.lab.study.results import read_result, runs_frame
from btard.lab.sweep.grid import Grid, Labels, PlannedRun, planned
from btard.lab.sweep.running import Order, Outcome, RunEnd
from btard.lab.sweep.sweep_folder import SweepFolder
from btard.lab.sweep.tuning import chosen, trials

GRID_FILE = "grid.yaml"
CHOSEN_FILE = "chosen.yaml"

Engine = Callable[[Sequence[Order], Callable[[], bool]], Iterator[tuple[Order, Outcome]]]
"""Carries out orders, and yields what became of each as it ends; ends early once the function says so."""


@dataclass
class SweepTally:
    """What became of the runs of a sweep.

    Attributes:
        done_before: complete when the sweep began.
        failed: (directory, reason) of each run that failed now.
    """

    done_before: int = 0
    completed: int = 0
    refused: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    interrupted: bool = False


Listener = Callable[[Outcome, int, int], None]
"""Is told of each run that ends: what became of it, how many have ended, of how many."""


def prepare(grid: Grid, output: Path) -> SweepFolder:
    """Make the directory of a sweep, or find it again.

    Raises:
        UserError: another grid is there, or nothing can be written.
    """
    text = yaml.safe_dump(grid.model_dump(mode="json"), sort_keys=False)
    path = output / GRID_FILE
    try:
        output.mkdir(parents=True, exist_ok=True)
        if path.exists() and yaml.safe_load(path.read_text(encoding="utf-8"))["name"] != grid.name:
            raise UserError(f"--output is {output}, which holds the sweep of another grid: name another directory")
        write_durably(path, text.encode())
    except OSError as error:
        raise UserError(f"--output is {output}, which cannot be written: {error.strerror}") from None
    return SweepFolder(output)


def tune(
    grid: Grid, folder: SweepFolder, engine: Engine, listener: Listener
) -> tuple[list[tuple[Labels, object]], SweepTally]:
    """Run the trials that are missing, and return what they choose for each group; nothing for a grid without any."""
    if grid.tune is None:
        return [], SweepTally()
    runs = planned(trials(grid))
    tally = run_missing(runs, folder, engine, listener)
    if tally.interrupted:
        return [], tally
    results = [
        read_result(folder.place(run), run.settings, {**run.labels, "seed": run.settings.seed})
        for run in runs
        if folder.place(run).exists()
    ]
    frame = runs_frame(results)
    if frame.empty:
        raise UserError(f"no trial of the grid {grid.name} has come to an end: see {folder.path / 'runs'}")
    for key in grid.tune.grouped_by:
        if key not in frame:
            frame[key] = grid.base.get(key)
    found = chosen(grid, frame.assign(score=frame["best"].fillna(-frame["final_loss"])))
    told = [{**labels, grid.tune.setting: value} for labels, value in found]
    write_durably(folder.path / CHOSEN_FILE, yaml.safe_dump(told, sort_keys=False).encode())
    return found, tally


def run_missing(runs: Sequence[PlannedRun], folder: SweepFolder, engine: Engine, listener: Listener) -> SweepTally:
    """Run what is neither complete nor refused. SIGINT and SIGTERM end it after the steps that are under way."""
    missing = folder.missing(runs)
    tally = SweepTally(refused=sum(run.refusal is not None for run in runs))
    tally.done_before = len(runs) - len(missing) - tally.refused
    orders = [Order(run.settings.model_dump_json(exclude_unset=True), folder.place(run), run.origin) for run in missing]
    with noted_signals() as stopped:
        for ended, (order, outcome) in enumerate(engine(orders, stopped), 1):
            match outcome.end:
                case RunEnd.COMPLETE:
                    tally.completed += 1
                case RunEnd.INTERRUPTED:
                    tally.interrupted = True
                case RunEnd.FAILED:
                    tally.failed.append((order.output, outcome.reason))
            listener(outcome, ended, len(orders))
        tally.interrupted |= stopped()
    return tally


@contextmanager
def noted_signals() -> Iterator[Callable[[], bool]]:
    """Inside, SIGINT and SIGTERM are noted instead of obeyed."""
    noted: list[int] = []
    before = {
        number: signal.signal(number, lambda received, _: noted.append(received))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield lambda: bool(noted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
