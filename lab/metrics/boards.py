"""Boards that show a run while it goes on: TensorBoard, under the published tags, and Weights & Biases."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from btard.errors import UserError
from btard.lab.metrics.tables import Row, TableName, TableSink
from btard.vocabulary import WandbMode

_TAGS: Mapping[TableName, Mapping[str, str]] = {
    TableName.STEPS: {
        "loss": "train/loss",
        "learning_rate": "train/lr",
        "clipped": "util/n_clipped",
        "iterations": "util/num_steps",
        "residual": "util/final_step_norm",
        "members": "util/members",
        "attacking": "util/attacking",
    },
    TableName.STUDY: {"Honest gradient deviation": "util/std"},
    TableName.EVALUATIONS: {"accuracy": "test/accuracy", "loss": "test/loss"},
}
"""Columns and their tags; the last two of steps and the held-out loss are our own."""


def scalars(table: TableName, row: Row) -> dict[str, float]:
    """Return what a board shows of a row, by tag; what it lacks, and numbers that are not finite, are left out."""
    values = {tag: float(row[column]) for column, tag in _TAGS.get(table, {}).items() if column in row}
    return {tag: value for tag, value in values.items() if math.isfinite(value)}


def step_of(table: TableName, row: Row) -> int:
    """Return the step of a row."""
    return int(row["Step number" if table is TableName.STUDY else "step"])


class TensorBoardFiles(TableSink):
    """Events for TensorBoard in the folder `tensorboard`."""

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        """Raises UserError when the package tensorboard is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError("--tensorboard needs the package tensorboard: pip install btard[tensorboard]") from None
        for old in (directory / "tensorboard").glob("events.out.*"):
            old.unlink()  # rows from before an interruption are written once more
        self._writer = SummaryWriter(str(directory / "tensorboard"))
        self._writer.add_text("config", f"```\n{json.dumps(settings, indent=1)}\n```")

    def write(self, table: TableName, row: Row) -> None:
        for tag, value in scalars(table, row).items():
            self._writer.add_scalar(tag, value, step_of(table, row))

    def close(self) -> None:
        self._writer.close()


class WandbBoard(TableSink):
    """A run at Weights & Biases, or in the folder `wandb` to be sent later."""

    def __init__(self, mode: WandbMode, project: str, directory: Path, name: str, settings: Mapping[str, Any]) -> None:
        """Raises UserError when wandb does not let the run begin."""
        import wandb

        try:
            self._run = wandb.init(
                mode="offline" if mode is WandbMode.OFFLINE else "online",
                project=project,
                dir=str(directory),
                name=name,
                config=dict(settings),
                reinit="create_new",
            )
        except Exception as error:  # wandb raises its own kinds for keys, networks and folders
            raise UserError(
                f"Weights & Biases does not let the run begin: {error}; --wandb off goes without it"
            ) from error

    def write(self, table: TableName, row: Row) -> None:
        found = scalars(table, row)
        if found:
            self._run.log({**found, "step": step_of(table, row)})

    def close(self) -> None:
        self._run.finish()
