"""One run of a study of models in stages: settings that name it, and what it leaves as JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from btard.lab.sweep.versions import run_key

DECIDES = (
    "lab/reproductions/staged/attack_run.py",
    "lab/reproductions/staged/codec_run.py",
    "lab/reproductions/staged/delay_run.py",
    "lab/reproductions/staged/origin.py",
    "pipeline/caches",
    "pipeline/codecs",
    "pipeline/defence",
    "pipeline/epochs.py",
    "pipeline/justice",
    "pipeline/machine",
    "pipeline/measures/scores.py",
    "pipeline/schedule",
    "pipeline/stages",
    "pipeline/step",
    "pipeline/trial.py",
    "tasks/base.py",
    "tasks/data",
    "tasks/gpt.py",
    "tasks/randomness.py",
    "tasks/text.py",
)
"""What decides the numbers of such a run, below the package; what only reports them is not among it."""


class StagedRun(BaseModel, ABC):
    """A run; two with the same settings are the same.

    Attributes:
        seed: of all that is drawn.
        data: the corpus, as `btard pipeline run --data` names it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    data: str = "builtin"

    @property
    @abstractmethod
    def name(self) -> str:
        """A name that tells what is run, fit for a file."""

    @abstractmethod
    def carry_out(self, home: Path) -> Mapping[str, Any]:
        """Do the run, on one thread, and return what it has found: numbers, texts, lists and None.

        Args:
            home: folder of the study, for what its runs share.

        Raises:
            UserError: the data cannot be had, or the model cannot be cut.
        """

    @property
    @abstractmethod
    def length(self) -> int:
        """How many steps it has; it takes the longer, the more there are."""

    @abstractmethod
    def shortened(self, steps: int) -> Self:
        """Return the same kind of run with about so few steps, that needs nothing which takes long to make."""

    @property
    def file(self) -> str:
        """The name of the file of what it has found; another one for other settings, or other code."""
        return f"{self.name}-{run_key(self.model_dump_json(), DECIDES)}.json"


@dataclass(frozen=True)
class StagedResult:
    """A complete run, and what it has found."""

    run: StagedRun
    found: Mapping[str, Any]
