"""Does the runs of a study that are missing, in processes of this machine, and keeps what each has found."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from btard.durable import write_durably
from btard.errors import UserError
from btard.lab.reproductions.settings import ReproduceSettings
from btard.lab.reproductions.staged.forecast import forecast
from btard.lab.reproductions.staged.run import StagedResult, StagedRun
from btard.lab.sweep.local import run_locally
from btard.lab.sweep.missing_runs import noted_signals
from btard.lab.sweep.running import RunEnd
from btard.lab.sweep.settings import SweepEngine
from btard.lab.sweep.telling import estimate_sentence, told


@dataclass
class StagedTally:
    """What became of the runs of a study.

    Attributes:
        results: of those that are complete, in the order of the study.
        failed: (name, reason) of each run that failed now.
        interrupted: whether it was ended before all were done.
    """

    results: list[StagedResult] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    interrupted: bool = False


def run_missing(runs: Sequence[StagedRun], home: Path, settings: ReproduceSettings) -> StagedTally:
    """Do the runs that are missing; an interrupt ends it after the runs under way.

    Raises:
        UserError: the settings ask for what these runs do not have, or the data cannot be had.
    """
    if settings.engine is not SweepEngine.LOCAL:
        raise UserError("--engine is ray, but runs of models in stages happen in processes of this machine: leave it")
    missing = [run for run in runs if not (home / "runs" / run.file).exists()]
    if settings.estimate and missing:
        print(estimate_sentence(forecast(missing), len(missing), settings.at_a_time), flush=True)
    if settings.dry_run:
        for run in runs:
            print(f"{run.name}: {'missing' if run in missing else 'complete'}")
        return StagedTally()
    try:
        (home / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output is {settings.output}, which cannot be written: {error.strerror}") from None
    tally, orders = StagedTally(), [_StagedOrder(run, home) for run in missing]
    with told(len(missing), home.name) as listener, noted_signals() as stopped:
        # Several threads round differently from one call to the next.
        for ended, (order, outcome) in enumerate(
            run_locally(orders, jobs=settings.at_a_time, threads=1, stopped=stopped), 1
        ):
            if outcome.end is RunEnd.FAILED:
                tally.failed.append((order.run.name, outcome.reason))
            listener(outcome, ended, len(missing))
        tally.interrupted = stopped()
    for run in runs:
        path = home / "runs" / run.file
        if path.exists():
            tally.results.append(StagedResult(run, json.loads(path.read_text(encoding="utf-8"))["found"]))
    return tally


@dataclass(frozen=True)
class _StagedOrder:
    """A run that is to be done, and the folder that keeps what it has found."""

    run: StagedRun
    home: Path

    def do(self) -> RunEnd:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is short, and cannot be gone on with
        text = json.dumps(
            {"settings": self.run.model_dump(mode="json"), "found": self.run.carry_out(self.home)}, indent=1
        )
        write_durably(self.home / "runs" / self.run.file, text.encode())
        return RunEnd.COMPLETE
