"""Does the runs of a study that are missing, in processes of this machine, and keeps what each has found."""

from __future__ import annotations

import json
import multiprocessing
import signal
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from btard.durable import write_durably
from btard.errors import UserError
from btard.lab.reproductions.settings import ReproduceSettings
from btard.lab.reproductions.staged.run import StagedResult, StagedRun
from btard.lab.sweep.running import Outcome, RunEnd
from btard.lab.sweep.settings import SweepEngine
from btard.lab.sweep.telling import told


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
        UserError: the settings ask for what these runs do not have.
    """
    if settings.engine is not SweepEngine.LOCAL:
        raise UserError("--engine is ray, but runs of models in stages happen in processes of this machine: leave it")
    missing = [run for run in runs if not (home / "runs" / run.file).exists()]
    if settings.dry_run:
        for run in runs:
            print(f"{run.name}: {'missing' if run in missing else 'complete'}")
        return StagedTally()
    try:
        (home / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output is {settings.output}, which cannot be written: {error.strerror}") from None
    tally = StagedTally()
    with told(len(missing), home.name) as listener:
        pool = ProcessPoolExecutor(settings.at_a_time, multiprocessing.get_context("spawn"), _begin)
        try:
            done = {pool.submit(_do, run, home): run for run in missing}
            for ended, future in enumerate(as_completed(done), 1):
                reason = future.result()
                if reason:
                    tally.failed.append((done[future].name, reason))
                listener(Outcome(RunEnd.FAILED if reason else RunEnd.COMPLETE, reason), ended, len(missing))
        except KeyboardInterrupt:
            tally.interrupted = True
        finally:
            pool.shutdown(cancel_futures=True)
    for run in runs:
        path = home / "runs" / run.file
        if path.exists():
            tally.results.append(StagedResult(run, json.loads(path.read_text(encoding="utf-8"))["found"]))
    return tally


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's goes to the whole group, and the parent waits for us


def _do(run: StagedRun, home: Path) -> str:
    """Do a run and keep what it has found; return why it failed, empty if it did not."""
    import torch

    torch.set_num_threads(1)  # several round differently from one call to the next
    try:
        text = json.dumps({"settings": run.model_dump(mode="json"), "found": run.carry_out(home)}, indent=1)
        write_durably(home / "runs" / run.file, text.encode())
    except UserError as error:
        return str(error)
    except Exception as error:
        return "".join(traceback.format_exception_only(error)).strip()
    return ""
