"""Runs of an experiment as swarms on this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from btard.configuration import to_yaml
from btard.deploy.experiment.plan import ExperimentFile, RunSpec
from btard.deploy.experiment.results import RunProgress
from btard.deploy.experiment.runner import emptied
from btard.deploy.local.interrupt import Interrupt
from btard.deploy.local.settings import SwarmSettings
from btard.errors import UserError
from btard.vocabulary import CHECKPOINT_FILE

_LOOK = 0.2


class LocalBackend:
    """Starts `btard swarm` for each run, and ends it when the run's last step is made."""

    def run(self, experiment: ExperimentFile, spec: RunSpec, directory: Path, initial: Path | None) -> None:
        """See `Backend.run`."""
        target = emptied(directory)
        config = target.with_suffix(".yaml")
        config.write_text(to_yaml(swarm_settings(experiment, spec, target, initial)), encoding="utf-8")
        log = target.with_suffix(".txt")
        with Interrupt().listening() as interrupt:
            with log.open("w") as output:
                # A session of its own, so that Ctrl-C reaches this process alone, which ends the swarm in order.
                swarm = subprocess.Popen(
                    [sys.executable, "-m", "btard.cli.main", "swarm", "--config", str(config)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            try:
                progress = RunProgress(target)
                while swarm.poll() is None and interrupt.number is None and not _over(spec, progress, target):
                    time.sleep(_LOOK)
            finally:
                if swarm.poll() is None:
                    swarm.send_signal(signal.SIGINT)
                swarm.wait()
            interrupt.check()
        if not _over(spec, RunProgress(target), target):
            last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"the run {spec.name} ended before step {spec.until}: {last}")


def swarm_settings(experiment: ExperimentFile, spec: RunSpec, directory: Path, initial: Path | None) -> SwarmSettings:
    """Return the swarm of a run."""
    attack = {}
    if spec.attack is not None:
        proba = spec.attack.check_proba if spec.attack.check_proba is not None else experiment.check_proba
        attack = {"attack": [spec.attack.type], "attack_start": spec.attack_start, "check_proba": proba}
    return SwarmSettings.model_validate(
        {
            "experiment": spec.name,
            "directory": directory.absolute(),
            "peers": experiment.peers,
            "byzantine": experiment.byzantine if spec.attack is not None else 0,
            "seed": spec.seed,
            "task": experiment.task,
            "size": experiment.size,
            "steps": experiment.total_steps,
            "batch_size": experiment.batch_size,
            "learning_rate": experiment.learning_rate,
            "warmup_steps": experiment.warmup_steps,
            "tau": experiment.tau,
            "validators": experiment.validators,
            "checkpoint_at": [] if spec.saves is None else [spec.saves],
            "initial_state": initial,
            **experiment.local.model_dump(),
            **attack,
        }
    )


def _over(spec: RunSpec, progress: RunProgress, directory: Path) -> bool:
    if progress.refresh() < spec.until:
        return False
    folder = directory / "coordinator" / "checkpoints"
    return spec.saves is None or (folder / f"step-{spec.saves:06d}" / CHECKPOINT_FILE).exists()
