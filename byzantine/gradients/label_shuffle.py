"""Computes an honest gradient on randomly exchanged labels, and publishes no loss, which would give it away."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import torch

from btard.byzantine.attacker import Attacker
from btard.tasks.base import Batch

B = TypeVar("B")


class LabelShuffle(Attacker):
    """Every sample gets the labels of another one, drawn anew in each step.

    Labels are whatever the task spoils when it flips them.
    """

    name = "LABEL_SHUFFLE"

    def batch(self, step: int, batch: B, label_flipped: Callable[[B], B]) -> B:
        """Give each sample the labels of another one, wherever flipping would change them."""
        if not self.attacks(step):
            return batch
        if not isinstance(batch, Batch):  # a simulation's, which knows labels only as spoiled or not
            return label_flipped(batch)
        order = torch.randperm(batch.samples, generator=self.generator(step))
        flipped = cast(Batch, label_flipped(batch)).tensors
        labels = {name: tensor for name, tensor in batch.tensors.items() if not torch.equal(tensor, flipped[name])}
        return cast(B, batch.replaced(**{name: tensor[order] for name, tensor in labels.items()}))

    def reported_loss(self, step: int, loss: float) -> float | None:
        return None if self.attacks(step) else loss
