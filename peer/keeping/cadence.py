"""When a peer keeps its state: as often as it was told, or so that it costs little of the time."""

from __future__ import annotations

import math

SHARE = 0.02
"""Of the time that a peer may spend on keeping its state by itself."""

LONG_INTERVAL = 32
"""Steps; longer intervals are multiples of ROUND_STEPS, which all members remember for long."""

ROUND_STEPS = 64


class Cadence:
    """Decides at the beginning of each step.

    Attributes:
        interval: steps between two states that are kept; None until the first one is, which takes its time.
    """

    def __init__(self, every: int | None) -> None:
        """`every`: so many steps; None for an interval that follows from what is measured."""
        self._fixed = every is not None
        self.interval = every
        self._step_seconds: float | None = None

    def took(self, seconds: float) -> None:
        """A step has taken so long; one that was held up is no reason to keep more often."""
        last = self._step_seconds
        self._step_seconds = seconds if last is None else 0.9 * last + 0.1 * min(seconds, 2 * last)

    def cost(self, seconds: float) -> None:
        """Keeping a state has taken so long."""
        if self._fixed:
            return
        steps = math.ceil(seconds / SHARE / self._step_seconds) if self._step_seconds else 1
        self.interval = steps if steps <= LONG_INTERVAL else math.ceil(steps / ROUND_STEPS) * ROUND_STEPS

    def is_due(self, step: int) -> bool:
        """Whether to keep the state before a step."""
        return self.interval is None or (self.interval > 0 and step % self.interval == 0)
