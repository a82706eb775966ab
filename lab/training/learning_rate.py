"""The learning rate of a step: a published decay, a list of rates, a cosine, or a warm-up."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

COSINE = "cosine"
_WARMUP = "warmup:"

Rate = Callable[[int], float]
"""From a step to its learning rate."""


def decaying(first: float, decay: float, delta: int) -> Rate:
    """Return first / (t / decay + 1) at multiples t of `delta`, kept in between; constant without decay."""
    if not decay:
        return lambda step: first
    return lambda step: first / ((step - step % delta) / decay + 1)


def cosine(first: float, steps: int) -> Rate:
    """Return half a cosine from `first` at step 0 to 0 at step `steps`."""
    return lambda step: first * 0.5 * (1 + math.cos(math.pi * min(step, steps) / steps))


def warmed_up(first: float, text: str) -> Rate:
    """Return the schedule that a live swarm trains by, from `warmup:STEPS,TOTAL`: up to `first`, then down to 0.

    Raises:
        ValueError: another form, or not 0 <= STEPS < TOTAL; a phrase that begins with "must".
    """
    from btard.tasks.base import Schedule

    try:
        warmup, total = map(int, text.removeprefix(_WARMUP).split(","))
        schedule = Schedule(first, warmup, total)
    except ValueError:
        raise ValueError("must have a warm-up shorter than all steps, such as warmup:50,20000") from None
    return lambda step: first * schedule.factor(step)


def scheduled(text: str, first: float, steps: int) -> Rate:
    """Return the rates of a schedule as a user writes it; raises ValueError as `listed` and `warmed_up`."""
    if text == COSINE:
        return cosine(first, steps)
    return warmed_up(first, text) if text.startswith(_WARMUP) else listed(text)


def lists_rates(text: str | None) -> bool:
    """Return whether a schedule names all rates itself, so that there is no first one."""
    return text is not None and text != COSINE and not text.startswith(_WARMUP)


def listed(text: str) -> Rate:
    """Return the rates of `lr0,step:lr,step:lr`: each holds from its step on.

    Raises:
        ValueError: another form, or steps that do not rise; a phrase that begins with "must".
    """
    first, *later = text.split(",")
    try:
        pairs = [(0, float(first))]
        for entry in later:
            step, _, rate = entry.partition(":")
            pairs.append((int(step), float(rate)))
    except ValueError:
        raise ValueError(
            "must be cosine, a warm-up such as warmup:50,20000, or rates such as 0.1,1000:0.05,2000:0.01"
        ) from None
    if any(a[0] >= b[0] for a, b in pairwise(pairs)) or any(not 0 < rate < math.inf for _, rate in pairs):
        raise ValueError("must have steps that rise, and rates above 0")

    def rate_of(step: int) -> float:
        return next(rate for start, rate in reversed(pairs) if start <= step)

    return rate_of
