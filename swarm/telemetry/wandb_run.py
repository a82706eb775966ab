"""A run at Weights & Biases: of the swarm, from its coordinator, or of one peer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from btard.errors import UserError
from btard.logs import writes_json
from btard.vocabulary import WandbMode

logger = logging.getLogger(__name__)


class WandbRun:
    """Takes a point a step; a failure is told once and costs only points of the plot.

    Args:
        mode: not OFF.
        run_id: continued if it is there already.
        group: what the runs of a swarm have in common.
        directory: in which wandb keeps its own.
        config: shown beside the plots.

    Raises:
        UserError: wandb is not installed, or does not let this run begin.
    """

    def __init__(
        self,
        mode: WandbMode,
        project: str,
        *,
        run_id: str,
        name: str,
        group: str,
        directory: Path,
        config: Mapping[str, Any],
    ) -> None:
        try:
            import wandb
        except ImportError:
            raise UserError("--wandb needs the package wandb: pip install wandb, or leave the flag out") from None
        self._complains = True
        try:
            self._run: Any = wandb.init(
                project=project,
                name=name,
                id=run_id,
                group=group,
                resume="allow",
                dir=str(directory),
                mode="offline" if mode is WandbMode.OFFLINE else "online",
                config=dict(config),
                # Its own lines would not be JSON.
                settings={"silent": writes_json()},
            )
        except Exception as error:  # its errors have no common base
            raise UserError(f"wandb refuses to start ({error}); log in, or use --wandb offline") from None

    def log(self, step: int, point: Mapping[str, float | None]) -> None:
        """Take the numbers of a step; those of earlier steps than the last are dropped by wandb."""
        try:
            self._run.log(dict(point), step=step)
        except Exception as error:
            if self._complains:
                logger.error("wandb does not take metrics: %s", error)
            self._complains = False

    def close(self) -> None:
        """Finish the run there; this may take as long as sending the last points."""
        try:
            self._run.finish()
        except Exception as error:
            logger.error("wandb did not finish: %s", error)
