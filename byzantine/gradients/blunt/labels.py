"""Attacks on the labels of a batch; attackers compute honestly on what is left of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from btard.byzantine.gradients.attack import DataAttack
from btard.tasks.base import IGNORED_LABEL, Batch

Flip = Callable[[Batch], Batch]


@dataclass
class FlippedLabels(DataAttack):
    """Labels as the task flips them: the last class for the first, or the next class for each."""

    def spoiled(self, batch: Batch, label_flipped: Flip, generator: torch.Generator) -> Batch:
        return label_flipped(batch)


@dataclass
class ShuffledLabels(DataAttack):
    """Every sample gets the labels of another one, drawn anew in each step.

    Labels are whatever the task spoils when it flips them.
    """

    def spoiled(self, batch: Batch, label_flipped: Flip, generator: torch.Generator) -> Batch:
        order = torch.randperm(batch.samples, generator=generator)
        return batch.replaced(**{name: tensor[order] for name, tensor in _labels(batch, label_flipped).items()})


@dataclass
class RandomLabels(DataAttack):
    """Every label is drawn from those that occur in the batch or among its flipped labels, each as likely."""

    def spoiled(self, batch: Batch, label_flipped: Flip, generator: torch.Generator) -> Batch:
        """Return the batch with drawn labels; ignored places stay ignored."""
        flipped = label_flipped(batch).tensors
        drawn = {}
        for name, labels in _labels(batch, label_flipped).items():
            values = torch.cat([labels.flatten(), flipped[name].flatten()]).unique()
            values = values[values != IGNORED_LABEL]
            chosen = torch.randint(len(values), labels.shape, generator=generator).to(labels.device)
            drawn[name] = torch.where(labels == IGNORED_LABEL, labels, values[chosen])
        return batch.replaced(**drawn)


def _labels(batch: Batch, label_flipped: Flip) -> dict[str, torch.Tensor]:
    """Return the tensors of a batch that flipping changes."""
    flipped = label_flipped(batch).tensors
    return {name: tensor for name, tensor in batch.tensors.items() if not torch.equal(tensor, flipped[name])}
