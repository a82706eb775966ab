"""Sends step summaries to Weights & Biases, under the names of the published experiments."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from btard.errors import UserError
from coordinator.metrics import StepSummary
from coordinator.settings import WandbMode
from peer.manifest import RunManifest

logger = logging.getLogger(__name__)


class WandbSink:
    """A run at Weights & Biases.

    Raises:
        UserError: wandb is not installed, or does not let this run begin.
    """

    def __init__(self, mode: WandbMode, project: str, manifest: RunManifest, directory: Path) -> None:
        try:
            import wandb
        except ImportError:
            raise UserError("--wandb needs the package wandb: pip install wandb, or leave the flag out") from None
        self._complains = True
        try:
            self._run: Any = wandb.init(
                project=project,
                name=manifest.experiment,
                id=manifest.run_id,
                resume="allow",
                dir=str(directory),
                mode="offline" if mode is WandbMode.OFFLINE else "online",
                config=manifest.model_dump(mode="json"),
            )
        except Exception as error:  # its errors have no common base
            raise UserError(f"wandb refuses to start ({error}); log in, or use --wandb offline") from None

    def log(self, summary: StepSummary) -> None:
        """Take one; a failure is told once and costs only points of the plot."""
        try:
            self._run.log(
                {
                    "loss": summary.loss,
                    "median loss": summary.median_loss,
                    "alive peers": summary.alive,
                    "samples": summary.samples,
                    "performance": summary.samples_per_second,
                    "step": summary.step,
                },
                step=summary.step,
            )
        except Exception as error:
            if self._complains:
                logger.error("wandb does not take metrics: %s", error)
            self._complains = False

    def close(self) -> None:
        """Finish the run there."""
        try:
            self._run.finish()
        except Exception as error:
            logger.error("wandb did not finish: %s", error)
