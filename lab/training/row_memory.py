"""Where the vectors of all workers lie: in memory, or in a file that the kernel pages in and out."""

from __future__ import annotations

from pathlib import Path

import torch

from btard.aggregation.rows import file_rows
from btard.errors import UserError


def zero_rows(count: int, like: torch.Tensor, directory: Path | None) -> torch.Tensor:
    """Return (count, d) zeros for vectors such as `like` (d,) float32, on its device.

    Args:
        directory: where the file lies that holds them, as `file_rows` makes it; None for memory.

    Raises:
        UserError: there is no such directory, or it cannot be written.
    """
    if directory is None:
        return torch.zeros(count, len(like), device=like.device)
    try:
        return file_rows(count, len(like), directory)
    except OSError as error:
        raise UserError(f"--rows-in is {directory}, where no file can be written: {error.strerror}") from None
