"""A small convolutional network on scikit-learn's 8 x 8 digits: learns in seconds, for tests and quick studies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from blake3 import blake3

from btard.errors import UserError
from btard.tasks.base import Batch, DataRequest, Schedule, Task
from btard.tasks.randomness import SeededDraws
from btard.tasks.settings import TaskSettings

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR

CLASSES = 10
_HELD_OUT_EVERY = 5


class DigitsTask(Task):
    """Batches hold `images`, float32 in [0, 1], (samples, 1, 8, 8), and `labels`, int64 in [0, 10), (samples,)."""

    name = "digits"
    sizes = ("tiny",)
    late_imports = ("sklearn.datasets:load_digits",)

    def __init__(self) -> None:
        import torch

        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise UserError("the task digits needs the package scikit-learn: pip install scikit-learn") from None

        pixels, labels = load_digits(return_X_y=True)
        images = (pixels / 16.0).astype("<f4").reshape(-1, 1, 8, 8)
        labels = labels.astype("<i8")
        fingerprint = blake3(b"btard digits 1" + images.tobytes() + labels.tobytes()).hexdigest()
        schedule = Schedule(learning_rate=0.05, warmup_steps=10, total_steps=2_000)
        super().__init__("tiny", fingerprint, schedule, TaskSettings())
        held_out = np.arange(len(labels)) % _HELD_OUT_EVERY == 0
        self._images = torch.from_numpy(images[~held_out])
        self._labels = torch.from_numpy(labels[~held_out])
        self._held_out = Batch(
            {"images": torch.from_numpy(images[held_out]), "labels": torch.from_numpy(labels[held_out])},
            int(held_out.sum()),
        )

    @classmethod
    def load(cls, size: str, settings: TaskSettings, data: DataRequest) -> Self:
        """The task; raises a UserError when the data are anything but the built-in ones."""
        data.refuse_own(cls.name)
        return cls()

    def _construct_model(self) -> nn.Module:
        from torch import nn

        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(32 * 4 * 4, CLASSES),
        )

    def build_optimizer(self, model: nn.Module, schedule: Schedule | None = None) -> tuple[Optimizer, LambdaLR]:
        from torch.optim import SGD

        chosen = schedule or self.schedule
        optimizer = SGD(model.parameters(), lr=chosen.learning_rate, momentum=0.9, foreach=False)
        return optimizer, chosen.scheduler(optimizer)

    def batch(self, seed: bytes, batch_size: int) -> Batch:
        import torch

        chosen = torch.from_numpy(SeededDraws(seed).integers("samples", batch_size, len(self._labels)))
        return Batch({"images": self._images[chosen], "labels": self._labels[chosen]}, batch_size)

    def training_samples(self) -> Batch:
        return Batch({"images": self._images, "labels": self._labels}, len(self._labels))

    def label_flipped(self, batch: Batch) -> Batch:
        return batch.replaced(labels=CLASSES - 1 - batch.tensors["labels"])

    def evaluation_batch(self) -> Batch:
        return self._held_out

    def correct(self, model: nn.Module, batch: Batch) -> tuple[int, int]:
        """How many digits the model names rightly."""
        return int((model(batch.tensors["images"]).argmax(1) == batch.tensors["labels"]).sum()), batch.samples

    def _loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        from torch.nn import functional

        return functional.cross_entropy(model(batch.tensors["images"]), batch.tensors["labels"])
