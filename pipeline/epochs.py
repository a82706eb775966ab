"""Which samples a step trains on: drawn from all, or a fixed number of them in epochs, each in an order of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TypeVar

import numpy as np

from btard.errors import UserError
from btard.hashing import tagged_digest
from btard.tasks.base import Batch, Task
from btard.tasks.randomness import SeededDraws
from btard.tasks.text import TextTask

T = TypeVar("T")


def share_of(all_of: Callable[[int], Sequence[T]], replica: int, each: int) -> Callable[[int], Sequence[T]]:
    """Return what gives a pipeline's share of each step, of what is drawn for several beside each other.

    Args:
        all_of: step -> what there is for all of them.
        replica: which pipeline.
        each: how much each has.
    """
    return lambda step: all_of(step)[replica * each : (replica + 1) * each]


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

    def of(self, task: Task) -> Callable[[int], tuple[Batch, ...]]:
        """Return what gives the micro-batches of a step; stages of one process share it.

        Raises:
            UserError: the task has no numbered samples, or fewer than an epoch.
        """
        if self.epoch is None:
            return lru_cache(maxsize=4)(partial(self._drawn, task))
        if not isinstance(task, TextTask):
            raise UserError(f"epochs need samples with numbers, which the task {task.name} has not; text has")
        if self.epoch > task.corpus.training_samples:
            raise UserError(
                f"an epoch of {self.epoch} samples is longer than the corpus, which has {task.corpus.training_samples}"
            )
        return lru_cache(maxsize=4)(partial(self._numbered, task))

    def _drawn(self, task: Task, step: int) -> tuple[Batch, ...]:
        numbers = range(step * self.micro_batches, (step + 1) * self.micro_batches)
        return tuple(task.batch(self._seed("batch", number), self.size) for number in numbers)

    def _numbered(self, task: TextTask, step: int) -> tuple[Batch, ...]:
        return tuple(task.numbered(np.array(numbers, dtype=np.int64)) for numbers in self.samples(step))

    def _order(self, epoch: int) -> list[int]:
        assert self.epoch is not None
        draws = SeededDraws(self._seed("epoch", epoch)).bits("order", self.epoch)
        return np.argsort(draws, kind="stable").tolist()

    def _seed(self, what: str, number: int) -> bytes:
        return tagged_digest(f"btard pipeline {what}", self.seed.to_bytes(8, "big"), number.to_bytes(8, "big"))
