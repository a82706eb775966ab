"""How long training stands after an accident: what the peers that go on have told of their steps."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from itertools import pairwise

Told = Sequence[tuple[float, int]]
"""(when, number) of the steps that a peer has finished, in seconds since the epoch."""


def usual_step_seconds(told: Told, before: float, count: int = 16) -> float:
    """Return the median time between the last steps that a peer finished before a moment; 0 where there are too few."""
    ends = [when for when, _ in told if when <= before][-count - 1 :]
    return statistics.median(b - a for a, b in pairwise(ends)) if len(ends) > 1 else 0.0


def longest_gap(told: Told, since: float, until: float) -> float:
    """Return the longest time between two ends of steps in a window, from the last end before it, in seconds.

    What has not ended within the window counts as lasting until its end.
    """
    ends = [when for when, _ in told if when <= until]
    last = max((when for when in ends if when < since), default=since)
    marks = [last, *(when for when in ends if when >= since), until]
    return max(b - a for a, b in pairwise(marks))


def stood(peers: Collection[Told], since: float, until: float) -> float:
    """Return the longest time for which one of these peers stood in a window, beside a step's own time, in seconds."""
    return max(max(0.0, longest_gap(told, since, until) - usual_step_seconds(told, since)) for told in peers)
