"""What every task offers: a model, an optimizer, batches from a seed, a loss, and a held-out part.

Torch is imported where it is used: what only asks for sizes and settings need not wait for it.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from btard.configuration.named import Named
from btard.errors import UserError
from btard.hashing import tagged_digest
from btard.tasks.data.hub import HubAccess
from btard.tasks.data.progress import ProgressListener
from btard.tasks.data.spec import DataSpec, SourceKind
from btard.tasks.randomness import SeededDraws, seeded_torch
from btard.tasks.settings import TaskSettings

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR

_STATISTICS_BATCHES = 8
_STATISTICS_SAMPLES = 128

IGNORED_LABEL = -100
"""The label of a position that does not count in the loss."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples that a gradient is computed on.

    Attributes:
        tensors: by name, first dimension `samples`; what each name holds is the task's own business.
        samples: how many samples.
    """

    tensors: Mapping[str, torch.Tensor]
    samples: int

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch({name: tensor.to(device) for name, tensor in self.tensors.items()}, self.samples)

    def replaced(self, **tensors: torch.Tensor) -> Batch:
        """The same batch with some tensors exchanged."""
        return Batch({**self.tensors, **tensors}, self.samples)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A learning rate that rises linearly from 0 during the warm-up, then falls linearly to 0.

    Attributes:
        learning_rate: the peak.
        warmup_steps: optimizer steps until the peak.
        total_steps: optimizer steps until the rate is 0.

    Raises:
        ValueError: the steps do not satisfy 0 <= warmup_steps < total_steps.
    """

    learning_rate: float
    warmup_steps: int
    total_steps: int

    def __post_init__(self) -> None:
        if not 0 <= self.warmup_steps < self.total_steps:
            raise ValueError(
                f"a schedule needs 0 <= warm-up < total steps, not {self.warmup_steps} and {self.total_steps}"
            )

    def factor(self, step: int) -> float:
        """The share of the peak rate that step number `step` (from 0) uses.

        The first step already uses 1 / (warmup_steps + 1), because a step at rate 0 would waste a round of the swarm.
        """
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        return max(0.0, (self.total_steps - step) / (self.total_steps - self.warmup_steps))

    def scheduler(self, optimizer: Optimizer) -> LambdaLR:
        """The scheduler that applies this schedule; the optimizer must have been built with `learning_rate`."""
        from torch.optim.lr_scheduler import LambdaLR

        return LambdaLR(optimizer, self.factor)


@dataclass(frozen=True, slots=True)
class DataRequest:
    """Where a task finds its data.

    Attributes:
        spec: the corpus, the built-in one by default.
        cache_dir: where tokenised corpora are kept, `~/.cache/btard/data` by default.
        progress: is called while a corpus is tokenised.
        access: what the owner of this machine allows a Hub data set; a default otherwise.
    """

    spec: DataSpec = field(default_factory=DataSpec)
    cache_dir: Path | None = None
    progress: ProgressListener | None = None
    access: HubAccess | None = None

    def refuse_own(self, task: str) -> None:
        """Check that nothing but the built-in data is asked for, for a task that has no other.

        Raises:
            UserError: another source or a tokenizer is named.
        """
        if self.spec.kind is not SourceKind.BUILTIN or self.spec.tokenizer is not None:
            raise UserError(f"the task {task} has only its built-in data; leave out the data source and the tokenizer")


@dataclass(frozen=True, slots=True)
class HeldOutResult:
    """What a model is worth on the held-out part.

    Attributes:
        loss: the mean over the samples.
        correct: how many answers are right.
        total: of how many; 0 for a task without right answers.
    """

    loss: float
    correct: int
    total: int

    @property
    def accuracy(self) -> float | None:
        """The share of right answers, in [0, 1]; None for a task without right answers."""
        return self.correct / self.total if self.total else None


class Task(ABC):
    """A model to train and the public data to train it on.

    Attributes:
        name: under which packages register the class as an entry point, such as `gpt`.
        sizes: the names of its sizes, smallest first.
        Settings: the settings of its own; none by default.
        late_imports: `module` or `module:attribute` that the class imports only when it is used. A launcher that forks
            its programs imports them once.
        size: one of `sizes`.
        settings: an instance of `Settings`.
        schedule: the learning-rate schedule when nothing else is asked for.
        fingerprint: hex BLAKE3 of everything that decides a batch (tokens, tokenizer, sample length) and of the
            settings. Peers compare it.
    """

    name: ClassVar[str]
    sizes: ClassVar[tuple[str, ...]]
    Settings: ClassVar[type[TaskSettings]] = TaskSettings
    late_imports: ClassVar[tuple[str, ...]] = ()

    def __init__(self, size: str, data_fingerprint: str, schedule: Schedule, settings: TaskSettings) -> None:
        """`data_fingerprint`: hex BLAKE3 of everything that decides a batch, but for the settings."""
        self.size = size
        self.settings = settings
        self.schedule = schedule
        self.fingerprint = _with_settings(data_fingerprint, settings)

    @classmethod
    @abstractmethod
    def load(cls, size: str, settings: TaskSettings, data: DataRequest) -> Self:
        """The task with its data ready.

        Args:
            size: one of `sizes`.
            settings: an instance of the class's `Settings`.
            data: where the data come from.

        Raises:
            UserError: the data cannot be had.
        """

    @property
    def label(self) -> str:
        """The name with all settings, as a user types them, such as `checkers:squares=4,width=32`."""
        return str(Named(self.name, self.settings.values))

    @abstractmethod
    def _construct_model(self) -> nn.Module:
        """A new model on the CPU, float32, weights drawn from torch's generator."""

    @abstractmethod
    def build_optimizer(self, model: nn.Module, schedule: Schedule | None = None) -> tuple[Optimizer, LambdaLR]:
        """The task's optimizer over the model's parameters and its scheduler; without a schedule, the task's own."""

    @abstractmethod
    def batch(self, seed: bytes, batch_size: int) -> Batch:
        """`batch_size` training samples, on the CPU, that the 32-byte seed alone decides, masks included.

        Samples are drawn with repetition.
        """

    def batches(self, seeds: Sequence[bytes], batch_size: int) -> dict[str, torch.Tensor]:
        """The tensors of `batch` for each of the seeds, by name, (seeds, samples, ...)."""
        import torch

        drawn = [self.batch(seed, batch_size).tensors for seed in seeds]
        return {name: torch.stack([tensors[name] for tensors in drawn]) for name in drawn[0]}

    @abstractmethod
    def label_flipped(self, batch: Batch) -> Batch:
        """The batch with wrong labels, as the LABEL_FLIPPING attack trains on it; inputs are unchanged."""

    @abstractmethod
    def evaluation_batch(self) -> Batch:
        """The fixed held-out samples, which `batch` never draws; on the CPU."""

    @abstractmethod
    def _loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The scalar mean loss of the batch; may draw from torch's generator (dropout)."""

    def training_samples(self) -> Batch | None:
        """All training samples in a fixed order, on the CPU, where the task holds them as they are trained on.

        None, the default, where batches are made in another way; then `batch` is the only source of them.
        """
        return None

    def training_count(self) -> int | None:
        """How many training samples there are; None where the task does not say."""
        samples = self.training_samples()
        return None if samples is None else samples.samples

    def drawn_loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The scalar loss of the model on the batch, dropout drawn from torch's generator as it is."""
        return self._loss(model, batch)

    def build_model(self, seed: int) -> nn.Module:
        """A new model on the CPU, float32, in training mode: the same bytes for the same seed."""
        import torch

        from btard.tasks.batch_statistics import freeze_statistics

        with seeded_torch(seed, torch.device("cpu")):
            model = self._construct_model().train()
        freeze_statistics(model)
        return model

    def loss(self, model: nn.Module, batch: Batch, seed: bytes) -> torch.Tensor:
        """The scalar loss of the model on the batch, dropout drawn from the 32-byte seed, so that it can be repeated.

        Batch and model must be on the same device.
        """
        device = next(model.parameters()).device
        with seeded_torch(SeededDraws(seed).torch_seed("dropout"), device):
            return self._loss(model, batch)

    def correct(self, model: nn.Module, batch: Batch) -> tuple[int, int] | None:
        """How many answers to a batch are right, and of how many; None for a task without right answers.

        The model answers in the mode that it is in; batch and model must be on the same device.
        """
        return None

    def evaluation_batches(self) -> Iterable[Batch]:
        """The held-out samples in batches that a model takes at once; all of them in one if not overridden."""
        yield self.evaluation_batch()

    def statistics_batches(self) -> Iterable[Batch]:
        """Training samples of a public seed, from which statistics of batch normalisation are computed to evaluate."""
        for number in range(_STATISTICS_BATCHES):
            seed = tagged_digest("btard evaluation statistics", number.to_bytes(8, "big"))
            yield self.batch(seed, _STATISTICS_SAMPLES)

    def evaluate(self, model: nn.Module) -> float:
        """The loss on the held-out part, without dropout; the model keeps its mode and its buffers."""
        return self.evaluated(model).loss

    def evaluated(self, model: nn.Module) -> HeldOutResult:
        """Loss and right answers on the held-out part, without dropout; the model keeps its mode and its buffers."""
        import torch

        from btard.tasks.batch_statistics import recomputed_statistics

        device = next(model.parameters()).device
        public = (batch.to(device) for batch in self.statistics_batches())
        was_training = model.training
        model.eval()
        try:
            with torch.no_grad(), recomputed_statistics(model, public, lambda batch: self._loss(model, batch)):
                return self._evaluated(model, (batch.to(device) for batch in self.evaluation_batches()))
        finally:
            model.train(was_training)

    def _evaluated(self, model: nn.Module, batches: Iterable[Batch]) -> HeldOutResult:
        losses, samples, right, answers = 0.0, 0, 0, 0
        for batch in batches:
            losses += float(self._loss(model, batch)) * batch.samples
            samples += batch.samples
            found = self.correct(model, batch)
            if found is not None:
                right, answers = right + found[0], answers + found[1]
        return HeldOutResult(losses / samples, right, answers)


def _with_settings(data_fingerprint: str, settings: TaskSettings) -> str:
    """The fingerprint of data and settings; that of the data where there are no settings."""
    values = settings.values
    if not values:
        return data_fingerprint
    text = json.dumps(values, sort_keys=True, allow_nan=False)
    return tagged_digest("btard task settings", data_fingerprint.encode(), text.encode()).hex()


def flipped_labels(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Labels moved to the next class, `(label + 1) mod classes`; ignored positions stay ignored. Any shape, int64."""
    import torch

    return torch.where(labels == IGNORED_LABEL, labels, (labels + 1) % classes)


def decay_groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float
) -> list[dict[str, list[nn.Parameter] | float]]:
    """Parameter groups that spare biases and normalisation weights (every tensor of one dimension) the weight decay."""
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for _, parameter in named_parameters:
        (decayed if parameter.dim() > 1 else spared).append(parameter)
    groups: list[dict[str, list[nn.Parameter] | float]] = [{"params": decayed, "weight_decay": weight_decay}]
    if spared:
        groups.append({"params": spared, "weight_decay": 0.0})
    return groups
