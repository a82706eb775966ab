"""The last gradients of a peer in a file as large as it will ever be, mapped into memory and not loaded into it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from btard.errors import UserError

_EMPTY = -1


class Past:
    """A ring of `length` vectors of `dimension` float32 numbers: step t lies in slot t mod length.

    A second small file says which step each slot holds. Files of another shape are begun anew. After a crash the last
    slot may be torn; a liar can live with that.

    Args:
        directory: where the files are; None for a temporary directory that goes with this object.
        name: of the files, without suffix.

    Raises:
        UserError: the files cannot be written.
    """

    def __init__(self, directory: Path | None, name: str, length: int, dimension: int) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="btard-past-") if directory is None else None
        folder = Path(self._temporary.name) if self._temporary else directory
        assert folder is not None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._vectors = _mapped(folder / f"{name}.float32", np.dtype("<f4"), (length, dimension))
            self._steps = _mapped(folder / f"{name}.steps", np.dtype("<i8"), (length,))
        except OSError as error:
            raise UserError(f"cannot keep past gradients in {folder}: {error.strerror}; see ATTACK_DIRECTORY") from None

    def exchange(self, step: int, gradient: torch.Tensor) -> torch.Tensor | None:
        """Keep the gradient of a step in place of the one `length` steps older.

        Returns:
            That one, else the oldest one of an earlier step, on the CPU; None if there is none.
        """
        slot = step % len(self._steps)
        # Steps count from 0 and a new file is all zeros, so what is stored is one more.
        stored = self._steps - 1
        earlier = np.where((stored > _EMPTY) & (stored < step), stored, np.iinfo(np.int64).max)
        oldest = int(earlier.argmin())
        old = torch.from_numpy(self._vectors[oldest].copy()) if earlier[oldest] < step else None
        self._steps[slot] = _EMPTY + 1
        self._vectors[slot] = gradient.detach().cpu().numpy()
        self._steps[slot] = step + 1
        return old


def _mapped(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.memmap:
    size = dtype.itemsize * int(np.prod(shape))
    fresh = not path.exists() or path.stat().st_size != size
    if fresh:
        path.unlink(missing_ok=True)
    return np.memmap(path, dtype=dtype, mode="w+" if fresh else "r+", shape=shape)
