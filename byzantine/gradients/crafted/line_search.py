"""The search for the factor that hurts most, with a given number of evaluations (distributed momentum, ICLR 2021)."""

from __future__ import annotations

import math
from collections.abc import Callable

_SHRINKS = 0.8


def line_search(score: Callable[[float], float], evaluations: int) -> float:
    """Return the place x >= 0 of the highest score among those that were looked at.

    From 0 the search goes on by steps that double while the score rises. From then on steps shrink to four fifths each
    time, towards the best place so far: back from a place beyond it, ahead from one before it.

    Args:
        score: of a place; NaN counts as the lowest.
        evaluations: how many places are looked at, 0 included; at least one.
    """
    best, highest = 0.0, _comparable(score(0.0))
    tried, step, left = 0.0, 1.0, evaluations - 1
    while left > 0:
        tried, left = best + step, left - 1
        found = _comparable(score(tried))
        if not found > highest:
            step *= _SHRINKS
            break
        best, highest, step = tried, found, 2 * step
    for _ in range(left):
        tried = tried + step if tried < best else _not_below_zero(tried - step, tried)
        step *= _SHRINKS
        found = _comparable(score(tried))
        if found > highest:
            best, highest = tried, found
    return best


def _not_below_zero(place: float, before: float) -> float:
    while place < 0:
        place = (place + before) / 2
    return place


def _comparable(score: float) -> float:
    return -math.inf if math.isnan(score) else score
