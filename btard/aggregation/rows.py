"""The rows that an aggregation rule is given, one per sender: what is accepted, and whose fault the rest is."""

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

Rows = torch.Tensor | Sequence[torch.Tensor] | Sequence[NDArray[np.float32]] | NDArray[np.float32]


_SHORT = 4096
"""Numbers up to which a row costs less than a call."""


_MADE_IN: ContextVar[Path | None] = ContextVar("made_in", default=None)


@contextmanager
def rows_made_in(directory: Path | None) -> Iterator[None]:
    """Inside, rows that pre-aggregators make lie in files of a directory; None for memory."""
    token = _MADE_IN.set(directory)
    try:
        yield
    finally:
        _MADE_IN.reset(token)


def new_rows(count: int, dimension: int) -> torch.Tensor:
    """Return (count, dimension) float32 on the CPU to be written, in memory or where `rows_made_in` says."""
    directory = _MADE_IN.get()
    return torch.empty(count, dimension) if directory is None else file_rows(count, dimension, directory)


def file_rows(count: int, dimension: int, directory: Path) -> torch.Tensor:
    """Return (count, dimension) float32 zeros that lie in a file without a name, so nothing is left of it once the
    tensor is gone; it takes as much room on the disk as is written.

    Raises:
        OSError: there is no such directory, or it cannot be written.
    """
    with tempfile.NamedTemporaryFile(dir=directory, prefix="btard-rows-") as file:
        file.truncate(4 * count * dimension)
        rows = torch.from_file(file.name, shared=True, size=count * dimension, dtype=torch.float32)
    return rows.view(count, dimension)


class BadRow(ValueError):
    """The row of one sender cannot be aggregated; `index` is its position among the rows."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"row {index} {reason}")
        self.index = index
        self.reason = reason


@dataclass(frozen=True)
class CheckedRows:
    """n >= 1 float32 CPU rows of one length d; `check_rows` vouches that they are finite.

    `block` is the (n, d) tensor when the rows came as one, so that a chunk of all of them is one operation; rows in
    `separate` buffers are left where they are.
    """

    separate: tuple[torch.Tensor, ...]
    block: torch.Tensor | None

    def __len__(self) -> int:
        return len(self.separate) if self.block is None else len(self.block)

    @cached_property
    def magnitude(self) -> NDArray[np.float64]:
        """(n,) float64: the largest absolute coordinate of each row; NaN or infinity when one of them is."""
        return _magnitudes(self.separate if self.block is None else self.block)

    @property
    def dimension(self) -> int:
        """The length of a row."""
        return self.separate[0].numel() if self.block is None else self.block.shape[1]

    @cached_property
    def rows(self) -> tuple[torch.Tensor, ...]:
        return self.separate if self.block is None else self.block.unbind(0)

    @cached_property
    def firsts(self) -> NDArray[np.intp]:
        """(n,): for each row the position of the first one in the same memory, its own unless a tensor was given more
        than once."""
        seen: dict[_Place, int] = {}
        return np.array([seen.setdefault(_place(row), index) for index, row in enumerate(self.rows)], dtype=np.intp)

    @property
    def stacked(self) -> torch.Tensor:
        """The rows as one (n, d) tensor, a copy if they came in separate buffers."""
        return torch.stack(self.separate) if self.block is None else self.block


def check_rows(rows: Rows) -> CheckedRows:
    """Check (n, d) float32, or n rows of shape (d,), without copying them.

    Raises BadRow for a row that is not one-dimensional, not float32, not on the CPU, of another length than the first
    row, or not finite; ValueError when there are no rows or a single tensor is not two-dimensional.
    """
    formed = formed_rows(rows)
    broken = np.flatnonzero(~np.isfinite(formed.magnitude))
    if broken.size:
        raise BadRow(int(broken[0]), "has a coordinate that is NaN or infinite")
    return formed


def formed_rows(rows: Rows) -> CheckedRows:
    """Check all that `check_rows` does but whether the numbers are finite, which takes a pass over them: for callers
    that see it from what they compute anyway."""
    if isinstance(rows, np.ndarray):
        rows = torch.from_numpy(rows)
    if isinstance(rows, torch.Tensor):
        if rows.ndim != 2:
            raise ValueError(f"rows must have shape (n, d), not {tuple(rows.shape)}")
        block: torch.Tensor | None = rows.detach()
        views: Sequence[torch.Tensor] = ()
        if len(rows) > 0:
            _check_form(0, rows[0], rows.shape[1:])
    else:
        block = None
        views = [_as_tensor(index, row) for index, row in enumerate(rows)]
        for index, row in enumerate(views):
            _check_form(index, row, views[0].shape)
    if len(rows) == 0:
        raise ValueError("there are no rows to aggregate")
    if rows[0].shape[0] == 0:
        raise ValueError("rows must have at least one coordinate")
    return CheckedRows(tuple(views), block)


def check_weights(weights: Sequence[float] | torch.Tensor | NDArray[np.float64] | None, n: int) -> NDArray[np.float64]:
    """The (n,) float64 weights, all ones for None.

    Raises BadRow for a weight that is negative, NaN or infinite; ValueError for a wrong number of them, or none above
    zero.
    """
    if weights is None:
        return np.ones(n)
    checked = np.asarray(weights, dtype=np.float64)
    if checked.shape != (n,):
        raise ValueError(f"weights must have shape ({n},), not {checked.shape}")
    for index, weight in enumerate(checked):
        if not (math.isfinite(weight) and weight >= 0):
            raise BadRow(index, f"has the weight {weight}, which must be finite and not negative")
    if not checked.any():
        raise ValueError("at least one weight must be above zero")
    # Only ratios matter; this keeps sums of them from overflowing.
    return checked / checked.max()


def finite_rows(rows: Rows) -> list[bool]:
    """For each row, whether every coordinate is finite. One reading pass, the same answer for the same bytes.

    Rows are (n, d) or n times (d,), float32; values up to 3.4e38 are finite. Raises BadRow for a row that is no array.
    """
    if isinstance(rows, np.ndarray):
        rows = torch.from_numpy(rows)
    if not isinstance(rows, torch.Tensor):
        rows = [_as_tensor(index, row) for index, row in enumerate(rows)]
    found: list[bool] = np.isfinite(_magnitudes(rows)).tolist()
    return found


def side_by_side(rows: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """Return the (n, d) view of rows of one length that lie in one piece of memory at equal steps, or None."""
    first, *others = rows
    if first.stride(0) != 1 or not others:
        return None
    places = [row.storage_offset() for row in rows]
    step, memory = places[1] - places[0], first.untyped_storage().data_ptr()
    if step < len(first) or any(later - place != step for place, later in pairwise(places)):
        return None
    if any(row.untyped_storage().data_ptr() != memory or row.stride(0) != 1 for row in others):
        return None
    return torch.as_strided(first, (len(rows), len(first)), (step, 1))


def _as_tensor(index: int, row: object) -> torch.Tensor:
    if isinstance(row, np.ndarray):
        return torch.from_numpy(row)
    if isinstance(row, torch.Tensor):
        return row.detach()
    raise BadRow(index, f"is a {type(row).__name__}, not a tensor")


def _check_form(index: int, row: torch.Tensor, shape: torch.Size) -> None:
    if row.ndim != 1:
        raise BadRow(index, f"has shape {tuple(row.shape)}, which must be one-dimensional")
    if row.dtype != torch.float32:
        raise BadRow(index, f"has dtype {row.dtype}, which must be torch.float32")
    if row.device.type != "cpu":
        raise BadRow(index, f"is on {row.device}, and must be on the CPU")
    if row.shape != shape:
        raise BadRow(index, f"has {row.numel()} coordinates where the first row has {shape.numel()}")


def _magnitudes(rows: torch.Tensor | Sequence[torch.Tensor]) -> NDArray[np.float64]:
    """(n,) float64: `magnitude_of` each row. A block of short rows is looked at in one go."""
    if not isinstance(rows, torch.Tensor) and rows and 0 < rows[0].numel() <= _SHORT and _alike(rows):
        rows = torch.stack(list(rows))
    if not isinstance(rows, torch.Tensor) or rows.ndim != 2 or not 0 < rows.shape[1] <= _SHORT:
        known: dict[_Place, float] = {}
        for row in rows:
            if _place(row) not in known:
                known[_place(row)] = magnitude_of(row)
        return np.array([known[_place(row)] for row in rows])
    low, high = torch.aminmax(rows.detach(), dim=1)
    found: NDArray[np.float64] = torch.maximum(-low, high).double().numpy()
    return found


def _alike(rows: Sequence[torch.Tensor]) -> bool:
    """Whether all are flat float32 of one length on the CPU."""
    form = rows[0].shape, torch.float32, torch.device("cpu")
    return rows[0].ndim == 1 and all((row.shape, row.dtype, row.device) == form for row in rows)


_Place = tuple[int, torch.Size, tuple[int, ...]]
"""Where a row lies in memory, and how; rows in one place are the same row."""


def _place(row: torch.Tensor) -> _Place:
    return row.data_ptr(), row.shape, row.stride()


def magnitude_of(row: torch.Tensor) -> float:
    """The largest absolute coordinate of a tensor, 0 without one; NaN or infinity when one of them is."""
    if not row.numel():
        return 0.0
    # min and max carry NaN and infinity through, so that one pass answers both questions.
    low, high = torch.aminmax(row)
    return float(torch.maximum(-low, high))
