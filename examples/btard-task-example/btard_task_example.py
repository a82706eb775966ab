"""Tells the colour of a square from a point on a board: a small network on data that are computed, not fetched."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
import torch
from blake3 import blake3
from pydantic import Field
from torch import nn
from torch.nn import functional
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from btard.configuration import Option
from btard.tasks.base import Batch, DataRequest, Schedule, Task
from btard.tasks.randomness import SeededDraws
from btard.tasks.settings import TaskSettings

GRID = 128
"""Points a side; a power of two, so that their coordinates are exact in float32."""

HELD_OUT_EVERY = 8


class CheckersSettings(TaskSettings):
    """The board and the network."""

    squares: Annotated[int, Field(ge=2, le=16), Option("squares a side", unit="squares")] = 3
    width: Annotated[int, Field(ge=4, le=512), Option("width of both hidden layers", unit="numbers")] = 64


class Checkers(Task):
    """Batches hold `points`, float32 in [-1, 1), (samples, 2), and `labels`, int64, 0 or 1, (samples,)."""

    name = "checkers"
    sizes = ("tiny",)
    Settings = CheckersSettings

    def __init__(self, size: str, settings: CheckersSettings) -> None:
        # Whole numbers only: a sine or a logarithm may differ in its last bit on another machine.
        numbers = np.arange(GRID * GRID)
        places = np.stack([numbers // GRID, numbers % GRID], axis=1)
        labels = (places * settings.squares // GRID).sum(axis=1) % 2
        points = (places / (GRID / 2) - 1).astype("<f4")
        # Drawn, since any regular choice would leave whole columns out.
        held_out = SeededDraws(blake3(b"checkers").digest()).integers("held out", GRID * GRID, HELD_OUT_EVERY) == 0
        data = points.tobytes() + labels.astype("<i8").tobytes() + held_out.tobytes()
        super().__init__(
            size, blake3(b"checkers 1" + data).hexdigest(), Schedule(0.01, warmup_steps=5, total_steps=400), settings
        )
        self._width = settings.width
        self._points, self._labels = torch.from_numpy(points[~held_out]), torch.from_numpy(labels[~held_out])
        self._held_out = Batch(
            {"points": torch.from_numpy(points[held_out]), "labels": torch.from_numpy(labels[held_out])},
            int(held_out.sum()),
        )

    @classmethod
    def load(cls, size: str, settings: TaskSettings, data: DataRequest) -> Self:
        data.refuse_own(cls.name)
        assert isinstance(settings, CheckersSettings)
        return cls(size, settings)

    def _construct_model(self) -> nn.Module:
        return nn.Sequential(
            nn.Linear(2, self._width),
            nn.ReLU(),
            nn.Linear(self._width, self._width),
            nn.ReLU(),
            nn.Linear(self._width, 2),
        )

    def build_optimizer(self, model: nn.Module, schedule: Schedule | None = None) -> tuple[Optimizer, LambdaLR]:
        chosen = schedule or self.schedule
        optimizer = AdamW(model.parameters(), lr=chosen.learning_rate, foreach=False)
        return optimizer, chosen.scheduler(optimizer)

    def batch(self, seed: bytes, batch_size: int) -> Batch:
        chosen = torch.from_numpy(SeededDraws(seed).integers("samples", batch_size, len(self._labels)))
        return Batch({"points": self._points[chosen], "labels": self._labels[chosen]}, batch_size)

    def label_flipped(self, batch: Batch) -> Batch:
        return batch.replaced(labels=1 - batch.tensors["labels"])

    def evaluation_batch(self) -> Batch:
        return self._held_out

    def _loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return functional.cross_entropy(model(batch.tensors["points"]), batch.tensors["labels"])
