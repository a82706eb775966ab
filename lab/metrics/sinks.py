"""Which sinks a run writes its tables into."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from btard.lab.metrics.files import CsvFiles, ParquetFiles
from btard.lab.metrics.tables import Tables, TableSink


class Wishes(Protocol):
    """Settings that say what is written; see `ExperimentSettings`."""

    @property
    def format(self) -> Sequence[str]:
        """How tables are written."""

    @property
    def digest(self) -> str:
        """The digest of the settings."""


def make_sinks(settings: Wishes, directory: Path, tables: Tables) -> list[TableSink]:
    """Return the sinks that settings ask for; their files are begun anew in `directory`."""
    made: list[TableSink] = []
    for name in settings.format:
        match name:
            case "csv":
                made.append(CsvFiles(directory))
            case "parquet":
                made.append(ParquetFiles(directory, tables, settings.digest))
    return made
