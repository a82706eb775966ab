"""Where workers' batches come from: samples in memory that are shuffled over and over, or a task's batches by seed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from btard.errors import UserError
from btard.hashing import tagged_digest
from btard.lab.training.settings import ExperimentSettings
from btard.lab.training.workers.spread import deal
from btard.tasks.base import Batch, Task

Tensors = dict[str, torch.Tensor]
"""By name, (workers, samples, ...)."""


def seed_of(purpose: str, *numbers: int) -> bytes:
    """Return the 32 bytes that decide what a run draws for one purpose."""
    return tagged_digest(f"btard experiment {purpose}", *(number.to_bytes(8, "big") for number in numbers))


def generator_of(purpose: str, *numbers: int) -> torch.Generator:
    """Return a generator on the CPU that `seed_of` starts."""
    return torch.Generator().manual_seed(int.from_bytes(seed_of(purpose, *numbers)[:8], "big") >> 1)


@dataclass
class Shuffled:
    """The numbers 0 to `size` - 1 in a random order, then all of them in another one, without end.

    Attributes:
        key: which stream it is; the seed is the run's.
        position: how many numbers were taken: all that there is to remember.
    """

    size: int
    seed: int
    key: int
    position: int = 0
    _epoch: int = -1
    _order: torch.Tensor | None = None

    def take(self, count: int) -> torch.Tensor:
        """Return the next `count` numbers, int64."""
        pieces = []
        while count:
            epoch, start = divmod(self.position, self.size)
            if epoch != self._epoch or self._order is None:
                self._epoch = epoch
                self._order = torch.randperm(self.size, generator=generator_of("order", self.seed, self.key, epoch))
            piece = self._order[start : start + count]
            self.position += len(piece)
            count -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


class Sampler(ABC):
    """Gives all workers their next batches."""

    @abstractmethod
    def next(self, workers: int, step: int, part: int) -> Tensors:
        """Return a batch for each of the first `workers`, for local step `part` of a step."""

    def state(self) -> list[int]:
        """Return what a resumed run needs to know."""
        return []

    def restore(self, state: Sequence[int]) -> None:
        """Take over what `state` has returned."""
        return


class FromMemory(Sampler):
    """Samples in memory. All workers take turns on one stream, or each has one of its own over its share."""

    def __init__(self, samples: Batch, batch_size: int, seed: int, shares: Sequence[np.ndarray] | None) -> None:
        """Args: `shares` are the samples of each worker, None where all draw from all."""
        self._tensors = samples.tensors
        self._batch_size = batch_size
        self._shares = None if shares is None else [torch.from_numpy(share) for share in shares]
        sizes = [samples.samples] if shares is None else [len(share) for share in shares]
        self._memory: dict[tuple[int, str], torch.Tensor] = {}
        self._streams = [Shuffled(size, seed, key) for key, size in enumerate(sizes)]

    def next(self, workers: int, step: int, part: int) -> Tensors:
        """Return a batch for each worker, in memory that the same call of a later step writes over; see `Sampler`."""
        if self._shares is None:
            chosen = self._streams[0].take(workers * self._batch_size)
        else:
            pairs = zip(self._shares[:workers], self._streams[:workers], strict=True)
            chosen = torch.cat([share[stream.take(self._batch_size)] for share, stream in pairs])
        found = {}
        for name, tensor in self._tensors.items():
            shape = (workers * self._batch_size, *tensor.shape[1:])
            memory = self._memory.setdefault((part, name), torch.empty(0, dtype=tensor.dtype))
            # Fresh memory of this size costs a page fault for every 4 KiB, which is more than the copy.
            torch.index_select(tensor, 0, chosen, out=memory.resize_(shape))
            found[name] = memory.view(workers, self._batch_size, *tensor.shape[1:])
        return found

    def state(self) -> list[int]:
        return [stream.position for stream in self._streams]

    def restore(self, state: Sequence[int]) -> None:
        for stream, position in zip(self._streams, state, strict=True):
            stream.position = position


class FromSeeds(Sampler):
    """Batches that a task draws from a seed for each worker and step; nothing is remembered."""

    def __init__(self, task: Task, batch_size: int, seed: int) -> None:
        self._task, self._batch_size, self._seed = task, batch_size, seed

    def next(self, workers: int, step: int, part: int) -> Tensors:
        seeds = [seed_of("batch", self._seed, step, part, worker) for worker in range(workers)]
        return self._task.batches(seeds, self._batch_size)


def make_sampler(task: Task, settings: ExperimentSettings, shares_seed: int) -> Sampler:
    """Return the sampler of an experiment.

    Args:
        shares_seed: decides which samples each worker has.

    Raises:
        UserError: samples should be dealt by labels, and the task does not show them.
    """
    samples = task.training_samples()
    if samples is None or (settings.heterogeneity != "iid" and "labels" not in samples.tensors):
        if settings.heterogeneity != "iid":
            raise UserError(
                f"--heterogeneity deals samples by labels, which the task {task.name} does not show: use iid"
            )
        return FromSeeds(task, settings.batch_size, settings.seed)
    shares = None
    if settings.heterogeneity != "iid":
        draws = np.random.Generator(np.random.PCG64(int.from_bytes(seed_of("shares", shares_seed), "big")))
        shares = deal(settings.heterogeneity, samples.tensors["labels"].numpy(), settings.workers, draws)
    return FromMemory(samples, settings.batch_size, settings.seed, shares)
