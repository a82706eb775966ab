"""Which sinks a run writes its tables into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from btard.lab.metrics.boards import TensorBoardFiles, WandbBoard
from btard.lab.metrics.files import CsvFiles, ParquetFiles
from btard.lab.metrics.legacy import Config, LegacyFiles
from btard.lab.metrics.tables import Tables, TableSink
from btard.vocabulary import WandbMode


@dataclass(frozen=True)
class Wishes:
    """What is written.

    Attributes:
        formats: names of `TableFormat`.
        settings, digest: of the run, and their digest.
        config: the settings under their published names.
        tensorboard, wandb, project: whether boards are fed, and under which project.
    """

    formats: Sequence[str]
    settings: Mapping[str, Any]
    digest: str
    config: Config
    tensorboard: bool = False
    wandb: WandbMode = WandbMode.OFF
    project: str = ""


def make_sinks(wishes: Wishes, directory: Path, tables: Tables) -> list[TableSink]:
    """Return the sinks that are wished for; their files are begun anew in `directory`.

    Raises:
        UserError: a board cannot be used.
    """
    made: list[TableSink] = []
    for name in wishes.formats:
        match name:
            case "csv":
                made.append(CsvFiles(directory))
            case "parquet":
                made.append(ParquetFiles(directory, tables, wishes.digest))
            case "legacy":
                made.append(LegacyFiles(directory, wishes.config))
    if wishes.tensorboard:
        made.append(TensorBoardFiles(directory, wishes.settings))
    if wishes.wandb is not WandbMode.OFF:
        made.append(WandbBoard(wishes.wandb, wishes.project, directory, directory.stem, wishes.settings))
    return made
