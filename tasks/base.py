"""What every task offers: a model, an optimizer, batches from a seed, a loss, and a held-out part."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from btard.tasks.randomness import SeededDraws, seeded_torch

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

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch({name: tensor.to(device) for name, tensor in self.tensors.items()}, self.samples)

    def replaced(self, **tensors: torch.Tensor) -> "Batch":
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
        return LambdaLR(optimizer, self.factor)


class Task(ABC):
    """A model to train and the public data to train it on.

    Attributes:
        name: the task's name in the registry, such as `gpt`.
        size: the size's name, such as `tiny`.
        fingerprint: hex BLAKE3 of everything that decides a batch (tokens, tokenizer, sample length). Peers compare it.
        schedule: the learning-rate schedule when nothing else is asked for.
    """

    name: str
    size: str
    fingerprint: str
    schedule: Schedule

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

    @abstractmethod
    def label_flipped(self, batch: Batch) -> Batch:
        """The batch with wrong labels, as the LABEL_FLIPPING attack trains on it; inputs are unchanged."""

    @abstractmethod
    def evaluation_batch(self) -> Batch:
        """The fixed held-out samples, which `batch` never draws; on the CPU."""

    @abstractmethod
    def _loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The scalar mean loss of the batch; may draw from torch's generator (dropout)."""

    def build_model(self, seed: int) -> nn.Module:
        """A new model on the CPU, float32, in training mode: the same bytes for the same seed."""
        with seeded_torch(seed, torch.device("cpu")):
            return self._construct_model().train()

    def loss(self, model: nn.Module, batch: Batch, seed: bytes) -> torch.Tensor:
        """The scalar loss of the model on the batch, dropout drawn from the 32-byte seed, so that it can be repeated.

        Batch and model must be on the same device.
        """
        device = next(model.parameters()).device
        with seeded_torch(SeededDraws(seed).torch_seed("dropout"), device):
            return self._loss(model, batch)

    def evaluate(self, model: nn.Module) -> float:
        """The loss on the held-out part, without dropout; the model keeps its mode."""
        device = next(model.parameters()).device
        was_training = model.training
        model.eval()
        try:
            with torch.no_grad():
                return float(self._loss(model, self.evaluation_batch().to(device)))
        finally:
            model.train(was_training)


def flipped_labels(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Labels moved to the next class, `(label + 1) mod classes`; ignored positions stay ignored. Any shape, int64."""
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
