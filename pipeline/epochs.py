"""Which samples a step trains on: drawn from all, or a fixed number of them in epochs, each in an order of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from btard.hashing import tagged_digest
from btard.tasks.base import Batch
from btard.tasks.randomness import SeededDraws
from btard.tasks.text import TextTask


@dataclass(frozen=True)
class SampleOrder:
    """The samples of every step, as they follow from a public seed.

    Attributes:
        seed: of the run.
        micro_batches: of a step.
        size: samples of each.
        epoch: samples that come again in every epoch; None draws from all, and none has a number of its own.
    """

    seed: int
    micro_batches: int
    size: int
    epoch: int | None = None

    def samples(self, step: int) -> list[list[int]]:
        """Return the numbers of each micro-batch's samples; an epoch ends within a step where it must."""
        assert self.epoch is not None
        each = self.micro_batches * self.size
        places = range(step * each, (step + 1) * each)
        orders = {number: self._order(number) for number in {place // self.epoch for place in places}}
        chosen = [int(orders[place // self.epoch][place % self.epoch]) for place in places]
        return [chosen[start : start + self.size] for start in range(0, each, self.size)]

    def batches(self, task: TextTask, step: int) -> tuple[Batch, ...]:
        """Return the micro-batches of a step."""
        if self.epoch is None:
            numbers = range(step * self.micro_batches, (step + 1) * self.micro_batches)
            return tuple(task.batch(self._seed("batch", number), self.size) for number in numbers)
        return tuple(task.batch_of(ids) for ids in self.samples(step))

    def _order(self, epoch: int) -> list[int]:
        assert self.epoch is not None
        draws = SeededDraws(self._seed("epoch", epoch)).bits("order", self.epoch)
        return np.argsort(draws, kind="stable").tolist()

    def _seed(self, what: str, number: int) -> bytes:
        return tagged_digest(f"btard pipeline {what}", self.seed.to_bytes(8, "big"), number.to_bytes(8, "big"))
