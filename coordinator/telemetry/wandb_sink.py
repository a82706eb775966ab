"""Sends step summaries to Weights & Biases, under the names of the published experiments."""

from __future__ import annotations

from pathlib import Path

from btard.coordinator.telemetry.metrics import StepSummary
from btard.swarm.manifest import RunManifest
from btard.swarm.telemetry.wandb_run import WandbRun
from btard.vocabulary import WandbMode


class WandbSink:
    """The swarm's run at Weights & Biases.

    Raises:
        UserError: wandb is not installed, or does not let this run begin.
    """

    def __init__(self, mode: WandbMode, project: str, manifest: RunManifest, directory: Path) -> None:
        self._run = WandbRun(
            mode,
            project,
            run_id=manifest.run_id,
            name=manifest.experiment,
            group=manifest.run_id,
            directory=directory,
            config=manifest.model_dump(mode="json"),
        )

    def log(self, summary: StepSummary) -> None:
        """Take one."""
        self._run.log(
            summary.step,
            {
                "loss": summary.loss,
                "median loss": summary.median_loss,
                "alive peers": summary.alive,
                "samples": summary.samples,
                "performance": summary.samples_per_second,
                "step": summary.step,
            },
        )

    def close(self) -> None:
        """Finish the run there."""
        self._run.close()
