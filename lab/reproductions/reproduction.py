"""What a reproduction is: grids at three scales, and a report of what they came to beside what was published."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from btard.lab.reproductions.settings import Scale
from btard.lab.study.html import Section
from btard.lab.sweep.grid import Grid
from btard.lab.sweep.sweep import Sweep


class Judgement(StrEnum):
    """Whether our runs show a published trend."""

    SHOWN = "shown"
    NOT_SHOWN = "not shown"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Trend:
    """One claim of a study, as published and as found here.

    Attributes:
        claim: in words.
        published, found: the figures behind it.
        verdict: UNDECIDED where these runs cannot tell.
    """

    claim: str
    published: str
    found: str
    verdict: Judgement


@dataclass(frozen=True)
class Findings:
    """What a reproduction has found: its trends, and the rest of its report."""

    trends: Sequence[Trend]
    sections: Sequence[Section]


class Reproduction(ABC):
    """One study."""

    name: ClassVar[str]
    title: ClassVar[str]
    """Authors, title, where and when."""

    @abstractmethod
    def grids(self, scale: Scale) -> list[Grid]:
        """Return what is run, in this order; their names differ."""

    @abstractmethod
    def scaled_down(self, scale: Scale) -> list[str]:
        """Return what is smaller here than in the study, and which data are used, in sentences."""

    @abstractmethod
    def findings(self, sweeps: Mapping[str, Sweep], scale: Scale, directory: Path) -> Findings:
        """Return what was found.

        Args:
            sweeps: by the names of the grids; runs that failed are missing in them.
            directory: of figures and tables.
        """
