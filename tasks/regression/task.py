"""Linear and logistic regression on rows of numbers."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from btard.configuration import Option
from btard.errors import UserError
from btard.tasks.base import Batch, DataRequest, Schedule, Task
from btard.tasks.losses import NumberLoss
from btard.tasks.randomness import SeededDraws
from btard.tasks.regression.sets import RegressionData, RowSet, load_rows
from btard.tasks.settings import TaskSettings

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR

_RIGHT = 0.5
"""An answer is right that is less than this off its class."""


class RegressionModel(StrEnum):
    """What is trained on rows of numbers."""

    LOGIT = "simples_logit"
    LINEAR = "simples_linear"


class RegressionSettings(TaskSettings):
    """Data, model and how it is trained."""

    data: Annotated[RegressionData, Option("which rows")] = RegressionData.BREAST_CANCER
    model: Annotated[RegressionModel, Option("which model")] = RegressionModel.LOGIT
    loss: Annotated[NumberLoss, Option("what is minimised")] = NumberLoss.BCE
    momentum: Annotated[float, Field(ge=0, le=0.999), Option("of the optimizer, which is SGD")] = 0.9


class RegressionTask(Task):
    """Batches hold `inputs`, float32, (samples, features), and `targets`, float32 in [0, 1], (samples,)."""

    name = "regression"
    sizes = ("tiny",)
    Settings = RegressionSettings
    late_imports = ("sklearn.datasets:load_breast_cancer",)

    def __init__(self, size: str, rows: RowSet, settings: RegressionSettings) -> None:
        """`rows` must be those that the settings name.

        Raises:
            UserError: the loss is not for the model.
        """
        import torch

        if settings.loss is NumberLoss.BCE and settings.model is not RegressionModel.LOGIT:
            raise UserError(
                f"the loss bce needs outputs in (0, 1): take the model {RegressionModel.LOGIT.value}, or another loss"
            )
        schedule = Schedule(learning_rate=0.1, warmup_steps=10, total_steps=2_000)
        super().__init__(size, rows.fingerprint(), schedule, settings)
        self._chosen = settings
        self._classes = rows.classes
        inputs, targets = torch.from_numpy(rows.inputs), torch.from_numpy(rows.targets)
        held_out = torch.from_numpy(rows.held_out)
        self._inputs, self._targets = inputs[~held_out], targets[~held_out]
        self._held_out = Batch({"inputs": inputs[held_out], "targets": targets[held_out]}, int(held_out.sum()))

    @classmethod
    def load(cls, size: str, settings: TaskSettings, data: DataRequest) -> Self:
        """The task; raises a UserError when its rows are not on this machine."""
        assert isinstance(settings, RegressionSettings)
        return cls(size, load_rows(settings.data, data.spec), settings)

    def _construct_model(self) -> nn.Module:
        from btard.tasks.models.simples import simples_linear, simples_logit

        features = self._inputs.shape[1]
        match self._chosen.model:
            case RegressionModel.LOGIT:
                return simples_logit(features)
            case RegressionModel.LINEAR:
                return simples_linear(features)

    def build_optimizer(self, model: nn.Module, schedule: Schedule | None = None) -> tuple[Optimizer, LambdaLR]:
        """SGD with the momentum of the settings."""
        from torch.optim import SGD

        chosen = schedule or self.schedule
        rate, momentum = chosen.learning_rate, self._chosen.momentum
        optimizer = SGD(model.parameters(), lr=rate, momentum=momentum, foreach=False)
        return optimizer, chosen.scheduler(optimizer)

    def batch(self, seed: bytes, batch_size: int) -> Batch:
        import torch

        chosen = torch.from_numpy(SeededDraws(seed).integers("samples", batch_size, len(self._targets)))
        return Batch({"inputs": self._inputs[chosen], "targets": self._targets[chosen]}, batch_size)

    def label_flipped(self, batch: Batch) -> Batch:
        return batch.replaced(targets=1 - batch.tensors["targets"])

    def evaluation_batch(self) -> Batch:
        return self._held_out

    def correct(self, model: nn.Module, batch: Batch) -> tuple[int, int] | None:
        """How many classes are less than a half off; None where targets are no classes."""
        if not self._classes:
            return None
        off = (self._outputs(model, batch) - batch.tensors["targets"]).abs()
        return int((off < _RIGHT).sum()), batch.samples

    def _loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return self._chosen.loss.of(self._outputs(model, batch), batch.tensors["targets"])

    @staticmethod
    def _outputs(model: nn.Module, batch: Batch) -> torch.Tensor:
        outputs: torch.Tensor = model(batch.tensors["inputs"])
        return outputs.squeeze(1)
