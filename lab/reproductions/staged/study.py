"""What a study of models in stages is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from btard.lab.reproductions.reproduction import Findings
from btard.lab.reproductions.settings import Scale
from btard.lab.reproductions.staged.run import StagedResult, StagedRun


class StagedStudy(ABC):
    """One study."""

    name: ClassVar[str]
    title: ClassVar[str]
    """Authors, title, where and when."""

    def prepare(self, scale: Scale, data: str, home: Path) -> None:
        """Make what the runs share, if it is not there already; most studies share nothing."""
        return

    @abstractmethod
    def runs(self, scale: Scale, data: str) -> list[StagedRun]:
        """Return what is run on a corpus; no two are the same."""

    @abstractmethod
    def scaled_down(self, scale: Scale) -> list[str]:
        """Return what is smaller here than in the study, and which data are used, in sentences."""

    @abstractmethod
    def findings(self, results: Sequence[StagedResult], scale: Scale, directory: Path) -> Findings:
        """Return what was found.

        Args:
            results: of the runs that are complete.
            directory: of figures and tables.
        """
