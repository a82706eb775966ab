"""Curves of a run of any length in a bounded number of points, with the steps around one of them in full."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

MAX_POINTS = 600
"""Points of a curve; when there are more, neighbours are joined."""

BEFORE, AFTER = 20, 40
"""Steps before and after the focus that are kept in full."""

_RECENT = 256
_LARGEST = 1e30

Numbers = tuple[float | None, ...]


@dataclass
class _Point:
    """The mean of `steps` steps that begin with `step`; a number that nobody told counts for nothing."""

    step: int
    steps: int
    sums: list[float]
    counts: list[int]

    @classmethod
    def of(cls, step: int, numbers: Numbers) -> _Point:
        clean = [finite(number) for number in numbers]
        return cls(step, 1, [number or 0.0 for number in clean], [int(number is not None) for number in clean])

    def join(self, other: _Point) -> None:
        self.steps += other.steps
        self.sums = [a + b for a, b in zip(self.sums, other.sums, strict=True)]
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]

    @property
    def row(self) -> list[float | None]:
        means = (short(total / count) if count else None for total, count in zip(self.sums, self.counts, strict=True))
        return [self.step, *means]


class Series:
    """The points of a run's steps, which come ascending; a step that is not later than the last one is left out.

    Attributes:
        stride: steps that a full point stands for.
        changed_from: index of the first point that has changed since it was last set to `len(self)`.
    """

    def __init__(self) -> None:
        self.stride = 1
        self.changed_from = 0
        self._points: list[_Point] = []
        self._last = -1
        self._recent: deque[_Point] = deque(maxlen=_RECENT)
        self._focus: int | None = None
        self._window: list[_Point] = []

    def __len__(self) -> int:
        return len(self._points)

    @property
    def focus(self) -> int | None:
        """The step whose neighbourhood is kept in full."""
        return self._focus

    def add(self, step: int, numbers: Numbers) -> None:
        """Add a step."""
        if step <= self._last:
            return
        self._last = step
        point = _Point.of(step, numbers)
        self._recent.append(_Point.of(step, numbers))
        if self._near(step):
            self._window.append(_Point.of(step, numbers))
        if self._points and self._points[-1].steps < self.stride:
            self._points[-1].join(point)
            self.changed_from = min(self.changed_from, len(self._points) - 1)
            return
        self.changed_from = min(self.changed_from, len(self._points))
        self._points.append(point)
        if len(self._points) > MAX_POINTS:
            self._thin()

    def look_at(self, step: int) -> None:
        """Keep the steps around this one in full, as far as they are remembered; of several the earliest counts."""
        if self._focus is None or step < self._focus:
            self._focus = step
            known = {point.step: point for point in (*self._recent, *self._window)}
            self._window = [known[each] for each in sorted(known) if self._near(each)]

    def rows(self, start: int = 0) -> list[list[float | None]]:
        """Return `[step, number, ...]` of each point from an index on."""
        return [point.row for point in self._points[start:]]

    def window(self) -> list[list[float | None]]:
        """Return the same of each step around the focus."""
        return [point.row for point in self._window]

    def _near(self, step: int) -> bool:
        return self._focus is not None and self._focus - BEFORE <= step <= self._focus + AFTER

    def _thin(self) -> None:
        for first, second in zip(self._points[::2], self._points[1::2], strict=False):
            first.join(second)
        self._points = self._points[::2]
        self.stride *= 2
        self.changed_from = 0


def finite(value: object) -> float | None:
    """Return a number of a hostile file if it can be drawn, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) <= _LARGEST else None


def short(number: float | None) -> float | None:
    """Return a number with five digits: a page needs no more of them."""
    return None if number is None else float(f"{number:.5g}")


def shorts(numbers: Sequence[float | None]) -> list[float | None]:
    """Return all of them with five digits."""
    return [short(number) for number in numbers]
