"""What one peer's own work in a step has come to: done once, and used in all attempts."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from btard.round.work.answers import GradientComputed, TargetExamined
from btard.round.work.seals import Sketch


@dataclass
class OwnWork:
    """None where something is not done yet, or not this peer's to do.

    Attributes:
        gradient: what it submits.
        examined: what it has found as a validator.
        sketch: of the vector by which it opens, as a validator of the step before, or compares, as the target of one.
    """

    gradient: GradientComputed | None = None
    examined: TargetExamined | None = None
    sketch: Sketch | None = None

    @property
    def submitted(self) -> torch.Tensor | None:
        """The vector that this peer had to submit."""
        return None if self.gradient is None else self.gradient.vector

    @property
    def recomputed(self) -> torch.Tensor | None:
        """The target's vector of the step before, as this peer has recomputed it."""
        made = None if self.examined is None else self.examined.recomputed
        return None if made is None else made.vector
