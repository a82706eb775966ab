"""Where the vectors of all workers lie: in memory, or in a file that the kernel pages in and out."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from btard.errors import UserError


def zero_rows(count: int, like: torch.Tensor, directory: Path | None) -> torch.Tensor:
    """Return (count, d) zeros for vectors such as `like` (d,) float32, on its device.

    Args:
        directory: where the file lies that holds them, None for memory. It has no name, so nothing is left of it once
            the process ends; it takes as much room on the disk as is written.

    Raises:
        UserError: there is no such directory, or it cannot be written.
    """
    if directory is None:
        return torch.zeros(count, len(like), device=like.device)
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix="btard-rows-") as file:
            file.truncate(4 * count * len(like))
            rows = torch.from_file(file.name, shared=True, size=count * len(like), dtype=torch.float32)
    except OSError as error:
        raise UserError(f"--rows-in is {directory}, where no file can be written: {error.strerror}") from None
    return rows.view(count, len(like))
