"""A step of 51 workers, 24 of whom attack, against the same step written plainly.

    .venv/bin/python -m benchmarks.workers --threads 2

The published setting of Distributed Momentum (ICLR 2021): a net of 784-100-10 (79,510 weights), batches of 83, Krum,
the attack little, momentum at the workers. The plain step is what a textbook says: a backward pass a worker, a list of
momenta, and Krum that subtracts every pair of rows. Data are random: they change no time. Both take turns, so that a
noisy machine hits them alike; times are medians. With one thread the processor times are meaningful on a busy machine.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Self

import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from btard.lab.training import Experiment, ExperimentSettings
from btard.tasks.base import Batch, DataRequest, Schedule, Task
from btard.tasks.settings import TaskSettings

WORKERS, LIARS, BATCH, SAMPLES = 51, 24, 83, 60_000
RATE, MU, FACTOR = 0.02, 0.9, 1.5


class FullNet(Task):
    """The published fully connected net on as many random samples as MNIST has."""

    name = "benchmark"
    sizes = ("full",)

    def __init__(self) -> None:
        super().__init__("full", "", Schedule(RATE, 0, 1000), TaskSettings())
        draws = torch.Generator().manual_seed(0)
        self._images = torch.randn(SAMPLES, 784, generator=draws)
        self._labels = torch.randint(10, (SAMPLES,), generator=draws)

    @classmethod
    def load(cls, size: str, settings: TaskSettings, data: DataRequest) -> Self:
        return cls()

    def _construct_model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10), nn.LogSoftmax(1))

    def build_optimizer(self, model: nn.Module, schedule: Schedule | None = None) -> tuple[Optimizer, LambdaLR]:
        optimizer = SGD(model.parameters(), lr=RATE)
        return optimizer, (schedule or self.schedule).scheduler(optimizer)

    def batch(self, seed: bytes, batch_size: int) -> Batch:
        raise NotImplementedError("samples are in memory")

    def training_samples(self) -> Batch:
        return Batch({"images": self._images, "labels": self._labels}, SAMPLES)

    def label_flipped(self, batch: Batch) -> Batch:
        return batch.replaced(labels=9 - batch.tensors["labels"])

    def evaluation_batch(self) -> Batch:
        return Batch({"images": self._images[:100], "labels": self._labels[:100]}, 100)

    def _loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return nn.functional.nll_loss(model(batch.tensors["images"]), batch.tensors["labels"])


def naive_krum(rows: list[torch.Tensor], f: int) -> torch.Tensor:
    """The mean of the n - f - 2 rows with the least sums of distances to their n - f - 1 nearest, pair by pair."""
    n = len(rows)
    distances = [[0.0] * n for _ in range(n)]
    for i, j in itertools.combinations(range(n), 2):
        distances[i][j] = distances[j][i] = float((rows[i] - rows[j]).norm())
    scores = [sum(sorted(row[:i] + row[i + 1 :])[: n - f - 1]) for i, row in enumerate(distances)]
    best = sorted(range(n), key=scores.__getitem__)[: n - f - 2]
    return torch.stack([rows[index] for index in best]).mean(0)


class PlainStep:
    """The same step with lists and loops."""

    def __init__(self, task: FullNet) -> None:
        self._task, self._model = task, task.build_model(0)
        self._weights = list(self._model.parameters())
        self._samples = task.training_samples().tensors
        dimension = sum(weight.numel() for weight in self._weights)
        self._momenta = [torch.zeros(dimension) for _ in range(WORKERS - LIARS)]

    def __call__(self) -> None:
        """Make one step."""
        for index, momentum in enumerate(self._momenta):
            chosen = torch.randint(SAMPLES, (BATCH,))
            batch = Batch({name: tensor[chosen] for name, tensor in self._samples.items()}, BATCH)
            loss = self._task.drawn_loss(self._model, batch)
            gradient = torch.cat([piece.reshape(-1) for piece in torch.autograd.grad(loss, self._weights)])
            self._momenta[index] = MU * momentum + gradient
        honest = torch.stack(self._momenta)
        lie = honest.mean(0) - FACTOR * honest.std(0)
        direction = naive_krum([*self._momenta, *[lie.clone() for _ in range(LIARS)]], LIARS)
        moved = nn.utils.parameters_to_vector(self._weights).detach() - RATE * direction
        nn.utils.vector_to_parameters(moved, self._weights)


def engine(task: FullNet, study: bool) -> Experiment:
    """The experiment of the same steps."""
    settings = ExperimentSettings(
        workers=WORKERS,
        attackers=LIARS,
        attack=f"little:factor={FACTOR},negative=true",
        rule="krum",
        momentum=MU,
        momentum_at="worker",
        learning_rate=RATE,
        batch_size=BATCH,
        steps=10**6,
        evaluate_every=0,
        batched="auto",
        study=study,
    )
    return Experiment(settings, task=task)


def milliseconds(step: Callable[[], object]) -> tuple[float, float]:
    """Wall time and processor time of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    step()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch threads (default: all)")
    parser.add_argument("--repetitions", type=int, default=40, help="steps of each")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    task = FullNet()
    bare, measured = engine(task, False), engine(task, True)
    steps: dict[str, Callable[[], object]] = {
        "engine": bare.training.advance,
        "engine with the study's 24 numbers": measured.training.advance,
        "plain loop, Krum pair by pair": PlainStep(task),
    }
    for step in steps.values():
        for _ in range(32):  # gradients are timed both ways, and then recorded
            step()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for _ in range(arguments.repetitions):
        for name, step in steps.items():
            times[name].append(milliseconds(step))
    print("| a step of 51 workers, 24 attack, d 79,510 | median ms | least ms | processor ms |\n|---|---:|---:|---:|")
    for name, taken in times.items():
        walls, processors = zip(*taken, strict=True)
        print(f"| {name} | {statistics.median(walls):.1f} | {min(walls):.1f} | {statistics.median(processors):.1f} |")
    print(f"\n{arguments.threads} threads; batched: {bare.training.batched}")


if __name__ == "__main__":
    main()
