"""Rows cut down to a length, which keep their direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from btard.aggregation.rows import CheckedRows, new_rows


def shortened(rows: CheckedRows, lengths: NDArray[np.float64], most: float) -> Sequence[torch.Tensor]:
    """Return the rows, those of (n,) `lengths` above `most` times the factor that makes them as long as that. Positions
    that hold one row go on holding one."""
    made: dict[int, torch.Tensor] = {}
    for first in np.unique(rows.firsts).tolist():
        row = made[first] = rows.rows[first]
        if lengths[first] > most:
            made[first] = new_rows(1, rows.dimension)[0].copy_(row.double() * (most / lengths[first]))
    return [made[first] for first in rows.firsts.tolist()]
