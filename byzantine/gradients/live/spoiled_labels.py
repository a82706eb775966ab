"""Computes an honest gradient on wrong labels, and publishes no loss, which would give it away."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from btard.byzantine.attacker import Attacker
from btard.byzantine.gradients.attack import DataAttack
from btard.byzantine.gradients.blunt.labels import FlippedLabels, RandomLabels, ShuffledLabels
from btard.byzantine.settings import BehaviourSettings
from btard.tasks.base import Batch

B = TypeVar("B")

_KINDS: dict[str, Callable[[], DataAttack]] = {
    "LABEL_FLIPPING": FlippedLabels,
    "LABEL_SHUFFLE": ShuffledLabels,
    "RANDOM_LABEL": RandomLabels,
}


class SpoiledLabels(Attacker):
    """The attack on labels that ATTACK_TYPE names; the task says how labels are flipped."""

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self.name = settings.attack_type
        self._attack = _KINDS[self.name]()

    def batch(self, step: int, batch: B, label_flipped: Callable[[B], B]) -> B:
        """Return the batch with wrong labels; one of a simulation, whose labels are either true or not, flipped."""
        if not self.attacks(step):
            return batch
        if not isinstance(batch, Batch):
            return label_flipped(batch)
        flip = cast(Callable[[Batch], Batch], label_flipped)
        return cast(B, self._attack.spoiled(batch, flip, self.generator(step)))

    def reported_loss(self, step: int, loss: float) -> float | None:
        return None if self.attacks(step) else loss
