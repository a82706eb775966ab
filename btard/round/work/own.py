"""What one peer's own work in a step has come to: done once, and used in all attempts."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from btard.identity import PeerId
from btard.round.work.answers import GradientComputed, Recomputed, TargetExamined
from btard.round.work.seals import Sketch


@dataclass
class OwnWork:
    """None, or nothing, where something is not done yet, or not this peer's to do.

    Attributes:
        gradient: what it submits.
        asked_through: targets that showed this peer nothing, for which it has let others ask.
        examined: what it has found as a validator, by target: another one, where it takes an audit over.
        sketch: of the vector by which it opens, as a validator of the step before, or compares, as the target of one.
    """

    gradient: GradientComputed | None = None
    examined: dict[PeerId, TargetExamined] = field(default_factory=dict)
    sketch: Sketch | None = None
    asked_through: set[PeerId] = field(default_factory=set)

    @property
    def submitted(self) -> torch.Tensor | None:
        """The vector that this peer had to submit."""
        return None if self.gradient is None else self.gradient.vector

    def recomputed(self, target: PeerId) -> Recomputed | None:
        """Return the target's vector of the step before, as this peer has recomputed it."""
        answer = self.examined.get(target)
        return None if answer is None else answer.recomputed

    def vector_of(self, target: PeerId) -> torch.Tensor | None:
        """Return that vector alone, float32 of shape (d,)."""
        made = self.recomputed(target)
        return None if made is None else made.vector
