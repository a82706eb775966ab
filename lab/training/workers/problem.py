"""What is trained: a task's model with all weights in one flat vector, its loss, and how right answers are counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from btard.configuration.named import Named
from btard.errors import UserError
from btard.lab.training.settings import ExperimentSettings
from btard.lab.training.workers.initialisers import initialise
from btard.tasks.base import Batch, Task
from btard.tasks.data.spec import DataSpec
from btard.tasks.randomness import seeded_torch
from btard.tasks.registry import chosen_task, find_task, load_task

_LABELS = "labels"
_OF_CLASSES = {"nll", "crossentropy", "multimargin"}
"""Losses that take labels as whole numbers."""

Outputs = tuple[torch.Tensor, torch.Tensor]
"""What a model says of samples, and what would be right."""


@dataclass(frozen=True)
class WeightPlace:
    """Where a weight lies in the flat vector."""

    name: str
    columns: slice
    shape: torch.Size


class Loss(nn.Module):
    """The mean loss of a model on tensors of samples, as a module, so that torch can exchange its weights."""

    def __init__(self, task: Task, model: nn.Module, text: str) -> None:
        """Args: `text` names the loss, as the setting `loss`. Raises UserError when there is none of this name."""
        super().__init__()
        self.model = model
        self._task = task
        self._loss: Callable[..., torch.Tensor] | None = None
        self._of_classes = text in _OF_CLASSES
        if text != "task":
            known = {name[:-4].lower(): name for name in dir(nn) if name.endswith("Loss") and len(name) > 4}
            if text not in known:
                raise UserError(f"there is no loss {text!r}; there are task, {', '.join(sorted(known))}")
            self._loss = getattr(nn, known[text])()

    def forward(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the scalar loss; tensors have the samples as their first dimension."""
        batch = Batch(tensors, len(next(iter(tensors.values()))))
        if self._loss is None:
            return self._task.drawn_loss(self.model, batch)
        outputs, right = outputs_of(self._task, self.model, batch)
        return self._loss(outputs, right if self._of_classes else right.to(outputs.dtype).view_as(outputs))


class Problem:
    """A task's model, whose weights are views of one vector.

    Attributes:
        task: the task.
        parameters: (d,) float32 on `device`; what is written into it is what the model uses.
        places: where each weight lies.
        loss: with the model in it.
        device: of the model.
    """

    def __init__(self, settings: ExperimentSettings, weights_seed: int, task: Task | None = None) -> None:
        """Make the model of a task, which is loaded if not given; raises UserError as the registry of tasks does."""
        self.task = task or _loaded(settings)
        self.device = device_of(settings.device)
        model = self.task.build_model(weights_seed)
        with seeded_torch(weights_seed, torch.device("cpu")):
            initialise(model, settings.initialiser, settings.initialiser_of_vectors)
        model.to(self.device).train(not settings.legacy_eval)
        self.loss = Loss(self.task, model, settings.loss).train(not settings.legacy_eval)
        self.parameters, self.places = _flattened(self.loss)
        self._right = counter(settings.criterion)

    @property
    def model(self) -> nn.Module:
        """The model."""
        return self.loss.model

    @property
    def draws(self) -> bool:
        """Whether the loss draws random numbers: a layer of dropout is in use."""
        return any(
            isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0 and module.training
            for module in self.model.modules()
        )

    def weights(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the weights by name as views of a vector of shape (..., d)."""
        lead = vector.shape[:-1]
        return {place.name: vector[..., place.columns].view(*lead, *place.shape) for place in self.places}

    def right_answers(self, batch: Batch) -> int | None:
        """Return how many samples the model is right about, None for a task that gives no labels."""
        if not predicts(self.task, batch):
            return None
        outputs, right = outputs_of(self.task, self.model, batch)
        return int(self._right(outputs, right))


def _loaded(settings: ExperimentSettings) -> Task:
    size = settings.size or find_task(chosen_task(settings.task).name).sizes[0]
    spec = DataSpec.parse(settings.data, settings.tokenizer)
    return load_task(settings.task, size, spec, settings.cache_dir)


def told_data(task: Task, data: str) -> str:
    """Return what a task is trained and measured on: its name with its settings, the source, and how many samples.

    Args:
        data: the source, as the setting `data` names it; of a path only the last part is told.
    """
    source = "built-in data" if data == "builtin" else Path(data).name
    training = task.training_count()
    drawn = "samples by seed" if training is None else f"{training:,} training samples"
    held_out = sum(batch.samples for batch in task.evaluation_batches())
    return f"{task.label}, {source}, {drawn}, {held_out:,} held out"


def device_of(device: str) -> torch.device:
    """Return the torch device that a setting names; raises UserError when this machine has none."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device is cuda, but this machine has no CUDA device")
    return torch.device(device)


def predicts(task: Task, batch: Batch) -> bool:
    """Whether a task's model maps the one tensor beside the labels to one output a sample."""
    labels = batch.tensors.get(_LABELS)
    return hasattr(task, "outputs") or (labels is not None and labels.dim() == 1 and len(batch.tensors) == 2)


def outputs_of(task: Task, model: nn.Module, batch: Batch) -> Outputs:
    """Return what the model says, and what would be right.

    A task may have a method `outputs(model, batch)`; others have a tensor `labels` and one more, which the model takes.

    Raises:
        UserError: the task has neither.
    """
    if hasattr(task, "outputs"):
        found: Outputs = task.outputs(model, batch)
        return found
    inputs = [tensor for name, tensor in batch.tensors.items() if name != _LABELS]
    if len(inputs) != 1 or _LABELS not in batch.tensors:
        raise UserError(f"the task {task.name} gives no labels: only its own loss can be taken, by --loss task")
    return model(inputs[0]), batch.tensors[_LABELS]


def counter(text: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the criterion of a text: from outputs (b, classes) or (b, 1) and labels (b,) to how many are right.

    Raises:
        UserError: there is no such criterion.
    """
    chosen = Named.parse(text, "--criterion")
    if chosen.name == "sigmoid" and not chosen.values:
        return lambda outputs, right: ((right.view(len(right), -1) - outputs.view(len(right), -1)).abs() < 0.5).sum()
    k = str(chosen.values.get("k", 1))
    if chosen.name == "top-k" and set(chosen.values) <= {"k"} and k.isdecimal() and int(k) > 0:
        return lambda outputs, right: (outputs.topk(int(k), dim=1).indices == right[:, None]).any(1).sum()
    raise UserError(f"--criterion is {text!r}, but must be top-k, top-k:k=5 or sigmoid")


def _flattened(module: nn.Module) -> tuple[torch.Tensor, list[WeightPlace]]:
    weights = dict(module.named_parameters())
    flat = torch.cat([weight.detach().reshape(-1).float() for weight in weights.values()])
    places, start = [], 0
    for name, weight in weights.items():
        columns = slice(start, start + weight.numel())
        weight.data = flat[columns].view(weight.shape)
        places.append(WeightPlace(name, columns, weight.shape))
        start = columns.stop
    return flat, places
