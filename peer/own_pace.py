"""How long this peer takes for a step beside the others, for the day on which it has been too slow for them."""

from __future__ import annotations

import statistics
from collections import deque

_WINDOW = 16
"""Steps of which the own time is the median."""


class OwnPace:
    """The times that this peer has taken to compute.

    Args:
        slowest: see `StepRules`.
    """

    def __init__(self, slowest: float) -> None:
        self._slowest = slowest
        self._seconds: deque[float] = deque(maxlen=_WINDOW)

    def computed(self, seconds: float) -> None:
        """A gradient took so long."""
        self._seconds.append(seconds)

    def beside(self, usual_seconds: float | None) -> str:
        """Return in words that this peer is slower than half of the members, nothing where it is not or none is known.

        Args:
            usual_seconds: in which half of the members commit to what they have computed, by this peer's own clock.
        """
        own = statistics.median(self._seconds) if self._seconds else 0.0
        if usual_seconds is None or own <= usual_seconds:
            return ""
        return (
            f": it computes for {own:.2f} s, while half of the members have committed after {usual_seconds:.2f} s; "
            f"more than {self._slowest:g} times a usual step is too slow"
        )
