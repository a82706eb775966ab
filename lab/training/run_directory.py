"""What a run leaves: a directory that is `.pending` until the run is complete, and `.failed` when it cannot be."""

from __future__ import annotations

import json
import platform
import time
import traceback
from enum import StrEnum
from pathlib import Path

import torch

from btard import __version__
from btard.configuration import to_yaml
from btard.durable import write_durably
from btard.errors import UserError
from btard.lab.training import checkpoint
from btard.lab.training.settings import ExperimentSettings

MANIFEST = "manifest.json"
LOG = "run.log"


class LabStatus(StrEnum):
    """How far a run is: INTERRUPTED goes on when it is started again, FAILED starts anew."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    COMPLETE = "complete"
    FAILED = "failed"


class LabDirectory:
    """The directory of one run.

    Attributes:
        path: where its files are at the moment.
    """

    def __init__(self, settings: ExperimentSettings, output: Path) -> None:
        """Make the directory, or find the one of a run that was interrupted.

        Raises:
            UserError: the run is complete already, another one is there, or nothing can be written.
        """
        self._settings, self._output = settings, output
        self.path = output.with_name(output.name + ".pending")
        self._started = time.time()
        if output.exists():
            raise UserError(f"--output is {output}, which exists: remove it, or name another")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._refuse_others()
            (self.path / "settings.yaml").write_text(to_yaml(settings), encoding="utf-8")
        except OSError as error:
            raise UserError(f"--output is {output}, which cannot be written: {error.strerror}") from error

    def _refuse_others(self) -> None:
        manifest = self.path / MANIFEST
        if manifest.exists() and read_manifest(self.path).get("settings") != self._settings.digest:
            raise UserError(
                f"{self.path} is an unfinished run with other settings: remove it, or name another --output"
            )

    @property
    def newest_checkpoint(self) -> Path | None:
        """The state to go on from, if there is one."""
        return checkpoint.newest(self.path)

    def note(self, status: LabStatus, **facts: object) -> None:
        """Write how far the run is, with more facts."""
        told = {
            "status": status,
            "settings": self._settings.digest,
            "btard": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
            "wall_seconds": round(time.time() - self._started, 3),
            **facts,
        }
        write_durably(self.path / MANIFEST, (json.dumps(told, indent=1) + "\n").encode())

    def log(self, line: str) -> None:
        """Append a line to the log."""
        with (self.path / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def complete(self) -> None:
        """Give the directory its name: all files are in it."""
        self.path = self.path.rename(self._output)

    def failed(self, error: BaseException) -> None:
        """Keep the log and all files of a run that cannot go on, beside those that failed before."""
        self.log("".join(traceback.format_exception(error)).rstrip())
        name, number = self._output.name + ".failed", 0
        while (target := self._output.with_name(name + (f".{number}" if number else ""))).exists():
            number += 1
        self.path = self.path.rename(target)


def read_manifest(directory: Path) -> dict[str, object]:
    """Return what a run's manifest says; raises UserError when there is none that can be read."""
    try:
        found: dict[str, object] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{directory} holds no run of the laboratory: {error}") from error
    return found
