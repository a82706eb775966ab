"""Runs of an experiment on AWS, one fleet each; the files of a run come back through the bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from rich.console import Console

from btard.errors import UserError
from deploy.aws.cloud import Cloud
from deploy.aws.costs import estimate
from deploy.aws.fleet import Machine
from deploy.aws.launcher import Launcher, confirm, coordinator_config, kept
from deploy.aws.settings import UpSettings
from deploy.experiment.plan import ExperimentFile, RunSpec, runs_of
from deploy.experiment.results import Progress
from tasks.training_state import CHECKPOINT_FILE

_CONFIG = "coordinator.yaml"


class AwsBackend:
    """Keeps a fleet for each run until the bucket shows that its last step is made.

    Args:
        experiment: whose runs these will be.
        console: to tell what happens.
        yes: whether the costs need no confirmation.

    Raises:
        UserError: the settings do not fit, or the costs were not confirmed.
    """

    def __init__(self, experiment: ExperimentFile, console: Console, *, yes: bool) -> None:
        self._console = console
        first = up_settings(experiment, runs_of(experiment)[0], None, None)
        costs = estimate(Cloud(first), first)
        runs = len(runs_of(experiment))
        console.print(f"{runs} runs one after the other, at most {runs * costs.total:.2f} USD", highlight=False)
        confirm(costs, first.model_copy(update={"yes": yes}), console)

    def run(self, experiment: ExperimentFile, spec: RunSpec, directory: Path, initial: Path | None) -> None:
        """See `Backend.run`. The machines fetch the checkpoint from the bucket, where the run before has put it."""
        config = directory / _CONFIG
        config.write_text(yaml.safe_dump(_coordinator(experiment, spec), sort_keys=True), encoding="utf-8")
        settings = up_settings(experiment, spec, config, None if initial is None else _state(experiment, spec))
        cloud = Cloud(settings)
        launcher = Launcher(settings, cloud, self._console, estimate(cloud, settings), coordinator_config(settings))
        files = BucketFiles(cloud, str(settings.bucket), directory)
        progress = Progress(directory)

        def over(_: list[Machine]) -> bool:
            files.fetch()
            made = progress.refresh() >= spec.until
            return made and (spec.saves is None or files.has_checkpoint(spec.saves))

        kept(settings, cloud, self._console, lambda: launcher.run(over))
        files.fetch()
        if not over([]):
            raise UserError(f"the run {spec.name} ended before step {spec.until}; the same command starts it again")


class BucketFiles:
    """Copies what the machines of a run have put into the bucket.

    Args:
        cloud: the account; its experiment is the run.
        bucket: the bucket.
        directory: where the copies go.
    """

    def __init__(self, cloud: Cloud, bucket: str, directory: Path) -> None:
        self._cloud = cloud
        self._client = cloud.client("s3")
        self._bucket = bucket
        self._directory = directory
        self._prefix = f"{cloud.experiment}/generation-0/"
        self._seen: dict[str, str] = {}

    def fetch(self) -> None:
        """Copy what is new or has changed; keys and locks stay where they are."""
        with self._cloud.doing(f"read the run's files in the bucket {self._bucket}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            for thing in (thing for page in pages for thing in page.get("Contents", [])):
                key, tag = thing["Key"], thing["ETag"]
                name = key.removeprefix(self._prefix)
                if self._seen.get(key) == tag or ".." in name.split("/") or "identity.key" in name:
                    continue
                target = self._directory / name
                target.parent.mkdir(parents=True, exist_ok=True)
                self._client.download_file(self._bucket, key, str(target))
                self._seen[key] = tag

    def has_checkpoint(self, step: int) -> bool:
        """Whether a checkpoint of the coordinator is here."""
        return (self._directory / "coordinator" / "checkpoints" / f"step-{step:06d}" / CHECKPOINT_FILE).exists()


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
    begins = spec.begins or 0
    run = f"{experiment.name}-scratch-{begins}"
    return f"s3://{experiment.aws['bucket']}/{run}/generation-0/coordinator/checkpoints/step-{begins:06d}"


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
