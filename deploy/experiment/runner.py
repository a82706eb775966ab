"""Does the runs of an experiment that are not done yet; whatever interrupted it, the same command goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Protocol

from rich.console import Console

from btard.deploy.experiment.plan import ExperimentFile, RunSpec, runs_of
from btard.errors import UserError
from btard.vocabulary import CHECKPOINT_FILE

DONE = "done.json"
EXPERIMENT = "experiment.json"


class Backend(Protocol):
    """Where runs happen."""

    def run(self, experiment: ExperimentFile, spec: RunSpec, directory: Path, initial: Path | None) -> None:
        """Do a run to its end.

        It leaves the coordinator's directory and one for each peer, with their events and configuration, in
        `directory`, and the checkpoint that the run is to save in `coordinator/checkpoints`.

        Args:
            experiment: of the run.
            spec: the run.
            directory: empty, or what an interrupted attempt has left.
            initial: the folder of the checkpoint that it begins with.

        Raises:
            UserError: it failed.
            KeyboardInterrupt: a signal came; nothing of it runs any more.
        """


def run_experiment(experiment: ExperimentFile, directory: Path, backend: Backend, console: Console) -> list[RunSpec]:
    """Do all runs and return them.

    Raises:
        UserError: one failed, or the directory holds another experiment.
    """
    _claim(experiment, directory)
    specs = runs_of(experiment)
    for number, spec in enumerate(specs, 1):
        target = run_directory(directory, spec)
        if is_done(target):
            console.print(f"run {number} of {len(specs)}, {spec.name}: done before", highlight=False)
            continue
        console.print(f"run {number} of {len(specs)}, {spec.name}: to step {spec.until}", highlight=False)
        initial = None if spec.begins is None else checkpoint_of(directory, spec.begins)
        target.mkdir(parents=True, exist_ok=True)
        backend.run(experiment, spec, target, initial)
        if spec.saves is not None and not (checkpoint_of(directory, spec.saves) / CHECKPOINT_FILE).exists():
            raise UserError(f"the run {spec.name} left no checkpoint of step {spec.saves}; see {target}")
        (target / DONE).write_text(json.dumps({"name": spec.name, "until": spec.until}) + "\n")
    return specs


def run_directory(directory: Path, spec: RunSpec) -> Path:
    """Return where a run is kept."""
    return directory / "runs" / spec.name


def is_done(target: Path) -> bool:
    """Whether a run has come to its end."""
    return (target / DONE).exists()


def checkpoint_of(directory: Path, step: int) -> Path:
    """Return where the training from scratch keeps a checkpoint."""
    return directory / "runs" / f"scratch-{step}" / "coordinator" / "checkpoints" / f"step-{step:06d}"


def emptied(target: Path) -> Path:
    """Return the directory of a run, without what an interrupted attempt has left there."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    return target


def _claim(experiment: ExperimentFile, directory: Path) -> None:
    text = experiment.model_dump_json(indent=2) + "\n"
    file = directory / EXPERIMENT
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if file.exists() and file.read_text() != text:
            raise UserError(f"{directory} holds the runs of another experiment; give another --directory")
        file.write_text(text)
    except OSError as error:
        raise UserError(f"cannot write into {directory}: {error.strerror}; give another --directory") from None
