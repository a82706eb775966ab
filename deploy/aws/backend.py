"""Runs of an experiment on AWS, one fleet each; the files of a run come back through the bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from rich.console import Console

from btard.deploy.aws.bucket import BucketFiles, find_checkpoint
from btard.deploy.aws.cloud import Cloud
from btard.deploy.aws.costs import estimate
from btard.deploy.aws.fleet import Machine
from btard.deploy.aws.launcher import Launcher, behaviour_of, confirm, coordinator_config, kept
from btard.deploy.aws.settings import UpSettings
from btard.deploy.experiment.plan import ExperimentFile, RunSpec, runs_of
from btard.deploy.experiment.results import RunProgress
from btard.deploy.experiment.runner import emptied, is_done, run_directory
from btard.errors import UserError

_CONFIG = "coordinator.yaml"


class AwsBackend:
    """Keeps a fleet for each run until the bucket shows that its last step is made.

    Args:
        experiment: whose runs these will be.
        directory: where the runs that are done can be seen; the others are estimated.
        console: to tell what happens.
        yes: whether the costs need no confirmation.

    Raises:
        UserError: the settings do not fit, or the costs were not confirmed.
    """

    def __init__(self, experiment: ExperimentFile, directory: Path, console: Console, *, yes: bool) -> None:
        self._console = console
        # All of them, since the last one should not be refused after days.
        for spec in runs_of(experiment):
            behaviour_of(up_settings(experiment, spec, None, None))
        left = [spec for spec in runs_of(experiment) if not is_done(run_directory(directory, spec))]
        if not left:
            return
        first = up_settings(experiment, left[0], None, None)
        costs = estimate(Cloud(first), first)
        console.print(
            f"{len(left)} runs one after the other, at most {len(left) * costs.total:.2f} USD", highlight=False
        )
        confirm(costs, first.model_copy(update={"yes": yes}), console)

    def run(self, experiment: ExperimentFile, spec: RunSpec, directory: Path, initial: Path | None) -> None:
        """See `Backend.run`. The machines fetch the checkpoint from the bucket, where the run before has put it."""
        config = emptied(directory) / _CONFIG
        config.write_text(yaml.safe_dump(_coordinator(experiment, spec), sort_keys=True), encoding="utf-8")
        settings = up_settings(experiment, spec, config, None if initial is None else _state(experiment, spec))
        cloud = Cloud(settings)
        generation: int | None = None
        launcher = Launcher(settings, cloud, self._console, estimate(cloud, settings), coordinator_config(settings))
        files = BucketFiles(cloud, str(settings.bucket), directory)
        progress = RunProgress(directory)

        def over() -> bool:
            if generation is None:
                return False
            files.fetch(generation)
            made = progress.refresh() >= spec.until
            return made and (spec.saves is None or files.has_checkpoint(spec.saves))

        def look(machines: list[Machine]) -> bool:
            nonlocal generation
            generation = max((machine.generation for machine in machines if machine.alive), default=generation)
            return over()

        kept(settings, cloud, self._console, lambda: launcher.run(look))
        if not over():
            raise UserError(f"the run {spec.name} ended before step {spec.until}; the same command starts it again")


def up_settings(
    experiment: ExperimentFile, spec: RunSpec, config: Path | None, initial_state: str | None
) -> UpSettings:
    """Return the fleet of a run; raises UserError if the file's settings for AWS do not fit."""
    attack: dict[str, Any] = {}
    if spec.attack is not None:
        proba = spec.attack.check_proba if spec.attack.check_proba is not None else experiment.check_proba
        attack = {
            "attackers": experiment.byzantine,
            "attack_type": spec.attack.type,
            "attack_start": spec.attack_start,
            "check_proba": proba,
        }
    given = {
        "experiment": f"{experiment.name}-{spec.name}",
        "workers": experiment.peers,
        "coordinator_config": config,
        "initial_state": initial_state,
        "yes": True,
        **attack,
    }
    try:
        settings = UpSettings.model_validate(experiment.aws | given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UserError(f"{where} of aws in the experiment's file: {first['msg']}") from None
    if settings.bucket is None:
        raise UserError("an experiment on AWS needs a bucket in its aws settings, for checkpoints and results")
    return settings


def _state(experiment: ExperimentFile, spec: RunSpec) -> str:
    """Return where the bucket has the checkpoint that a run begins with; raises UserError if it is not there."""
    begins = spec.begins or 0
    scratch = next(run for run in runs_of(experiment) if run.saves == begins)
    settings = up_settings(experiment, scratch, None, None)
    found = find_checkpoint(Cloud(settings), str(settings.bucket), settings.experiment, begins)
    if found is None:
        raise UserError(
            f"the bucket {settings.bucket} has no checkpoint of step {begins} any more; delete the directory of the "
            f"run {scratch.name}, and the same command makes it again"
        )
    return found


def _coordinator(experiment: ExperimentFile, spec: RunSpec) -> dict[str, Any]:
    given = {
        "task": experiment.task,
        "size": experiment.size,
        "total_steps": experiment.total_steps,
        "batch_size": experiment.batch_size,
        "learning_rate": experiment.learning_rate,
        "warmup_steps": experiment.warmup_steps,
        "tau": experiment.tau,
        "validators": experiment.validators,
        "seed": spec.seed,
        "checkpoint_at": [] if spec.saves is None else [spec.saves],
    }
    return experiment.coordinator | {name: value for name, value in given.items() if value is not None}
