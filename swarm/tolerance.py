"""The file that `btard calibrate` writes, and that a coordinator reads."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from btard.errors import UserError


class Tolerance(BaseModel):
    """What a run may be told about honest differences; the content of the file that `btard calibrate` writes.

    Attributes:
        task, size: what was measured; another model has other differences.
        numerics: the machine that measured: torch, processor, instruction set, arithmetic.
        samples: how many gradients were compared.
        worst: the largest relative distance between two honest vectors.
        accuse: a validator accuses a peer whose vector is farther from its own than this, relatively.
        convict: a member of the court convicts beyond this; smaller, so that the court follows honest accusers.
        exact: whether all variants were bit-equal, so that vectors may be compared by their hashes.
        reason: why these numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    task: str
    size: str
    numerics: str
    samples: int
    worst: float
    accuse: float
    convict: float
    exact: bool
    reason: str

    def write(self, path: Path) -> None:
        """Write the file.

        Raises:
            UserError: it cannot be written.
        """
        try:
            path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None

    @classmethod
    def read(cls, path: Path, task: str, size: str) -> Tolerance:
        """Return what a file says of a task, as a user types it with all its settings, and of a size.

        Raises:
            UserError: no such file, or not one for this task.
        """
        try:
            measured = cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}; btard calibrate writes it") from None
        except ValidationError:
            raise UserError(f"{path} is no tolerance file; btard calibrate writes one") from None
        if (measured.task, measured.size) != (task, size):
            raise UserError(
                f"{path} was measured for {measured.task} {measured.size}, but the run trains {task} {size}; run btard "
                "calibrate for it"
            )
        return measured
