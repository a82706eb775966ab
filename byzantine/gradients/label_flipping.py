"""Computes an honest gradient on wrong labels, and publishes no loss, which would give it away."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from btard.byzantine.attacker import Attacker

B = TypeVar("B")


class LabelFlipping(Attacker):
    """The task says how labels are spoiled."""

    name = "LABEL_FLIPPING"

    def batch(self, step: int, batch: B, label_flipped: Callable[[B], B]) -> B:
        return label_flipped(batch) if self.attacks(step) else batch

    def reported_loss(self, step: int, loss: float) -> float | None:
        return None if self.attacks(step) else loss
