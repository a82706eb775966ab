"""What a checkpoint says of itself, read without a model; somebody else may have made it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from btard.errors import UserError
from btard.hexadecimal import HexDigest
from btard.vocabulary import CHECKPOINT_FILE

CHECKPOINT_FORMAT = 1

_MOST_RECORD = 1 << 20
_Word = Annotated[str, Field(max_length=100)]


class CheckpointRecord(BaseModel):
    """The contents of a checkpoint's JSON file.

    Attributes:
        format: of this file.
        task, size, fingerprint: of what was trained, and on which data.
        step: of the swarm, at which it was saved.
        state_file: in the same folder, with the state.
        state_digest: hex BLAKE3 of that file.
        extra: whatever was stored with it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    task: _Word
    size: _Word
    fingerprint: _Word
    step: Annotated[int, Field(ge=0, lt=2**62)]
    state_file: Annotated[str, Field(pattern=r"^state-[0-9a-f]{16}\.safetensors$")]
    state_digest: HexDigest
    extra: dict[str, JsonValue]

    @classmethod
    def read(cls, folder: Path) -> CheckpointRecord:
        """Return the record in a folder.

        Raises:
            UserError: there is none, or it is damaged.
        """
        try:
            return cls.model_validate_json(read_inside(folder, CHECKPOINT_FILE, _MOST_RECORD))
        except FileNotFoundError:
            raise UserError(f"there is no checkpoint in {folder}: {CHECKPOINT_FILE} is missing") from None
        except (OSError, ValidationError) as error:
            raise UserError(f"the checkpoint in {folder} is damaged: {CHECKPOINT_FILE} cannot be read") from error

    def check(self, folder: Path, task: str, size: str, fingerprint: str | None = None) -> None:
        """Check that a run of this task and size can begin with it.

        Args:
            folder: where it was read, for the sentence.
            fingerprint: of the run's data; None where they are not known yet.

        Raises:
            UserError: it is of another task, size, or data, or of another version.
        """
        for what, found, own in (
            ("format", self.format, CHECKPOINT_FORMAT),
            ("task", self.task, task),
            ("size", self.size, size),
            ("data fingerprint", self.fingerprint, self.fingerprint if fingerprint is None else fingerprint),
        ):
            if found != own:
                raise UserError(f"the checkpoint in {folder} has {what} {found}, but this run has {own}")

    def check_step(self, folder: Path, total_steps: int | None, flag: str) -> None:
        """Check that it is not beyond a run's end; `flag` gives the steps of the run, None for the task's own.

        Raises:
            UserError: it is.
        """
        if total_steps is not None and self.step >= total_steps:
            raise UserError(
                f"the checkpoint in {folder} is at step {self.step}, but the run has only {total_steps} steps: give a "
                f"larger {flag}"
            )


def read_inside(folder: Path, name: str, most: int) -> bytes:
    """Return a file of a folder that somebody else may have made.

    Raises:
        OSError: it cannot be read.
        UserError: it lies elsewhere, is no ordinary file, or is longer than `most` bytes.
    """
    path = Path(os.path.realpath(folder / name, strict=True))
    if path.parent != folder.resolve() or not path.is_file():
        raise UserError(f"the checkpoint in {folder} is damaged: {name} is no file in this folder")
    with path.open("rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise UserError(f"the checkpoint in {folder} is damaged: {name} has more than {most:,} bytes")
    return data
