"""Classification of images: any data set with any network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from btard.configuration import Option
from btard.tasks.base import Batch, DataRequest, Schedule, Task, flipped_labels
from btard.tasks.images.image_set import ImageSet
from btard.tasks.images.sets import ImageData, load_images
from btard.tasks.images.transforms import Transform, moved, steps_of, value_table, valued
from btard.tasks.losses import ClassLoss
from btard.tasks.models.named import ImageModel, check_side, image_model
from btard.tasks.randomness import SEED_BYTES, SeededDraws, joint_integers
from btard.tasks.settings import TaskSettings

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR

_EVALUATED_AT_ONCE = 500


class LabelFlip(StrEnum):
    """What wrong labels are."""

    MIRRORED = "mirrored"
    """The last class for the first: 9 - y of ten, as published."""
    NEXT = "next"
    """The class after the true one."""


class ImagesSettings(TaskSettings):
    """Data, network and how it is trained."""

    data: Annotated[ImageData, Option("which images")] = ImageData.DIGITS
    model: Annotated[ImageModel, Option("which network")] = ImageModel.SIMPLES_FULL
    loss: Annotated[ClassLoss, Option("what is minimised")] = ClassLoss.NLL
    transform: Annotated[Transform, Option("what is done to images")] = Transform.PUBLISHED
    label_flip: Annotated[LabelFlip, Option("which labels attackers on labels use")] = LabelFlip.MIRRORED
    top_k: Annotated[
        int, Field(ge=1, le=100), Option("an image counts as right whose class is among so many first", unit="answers")
    ] = 1
    momentum: Annotated[float, Field(ge=0, le=0.999), Option("of the optimizer, which is SGD")] = 0.9
    nesterov: Annotated[bool, Option("whether its momentum is Nesterov's")] = False
    weight_decay: Annotated[float, Field(ge=0, le=1), Option("of the optimizer")] = 0.0
    legacy_eval: Annotated[
        bool,
        Option(
            "train as the published code of distributed momentum does: without dropout and with normalisation by the "
            "fixed mean 0 and variance 1; held-out images are mirrored as well"
        ),
    ] = False


class ImagesTask(Task):
    """Batches hold `images`, float32, (samples, channels, side, side), and `labels`, int64, (samples,)."""

    name = "images"
    sizes = ("tiny",)
    Settings = ImagesSettings
    late_imports = ("btard.tasks.models.residual", "sklearn.datasets:load_digits")

    def __init__(self, size: str, images: ImageSet, settings: ImagesSettings) -> None:
        """`images` must be those that the settings name.

        Raises:
            UserError: they are too small for the network.
        """
        import torch

        check_side(settings.model, images.side)
        schedule = Schedule(learning_rate=0.05, warmup_steps=10, total_steps=2_000)
        super().__init__(size, images.fingerprint(), schedule, settings)
        self._chosen = settings
        self._steps = steps_of(settings.transform, settings.data)
        self._table = value_table(settings.data, self._steps.normalise)
        self._form = images.channels, images.side, images.classes
        self._training, self._held_out = (
            (torch.from_numpy(part.images.copy()), torch.from_numpy(part.labels.copy()))
            for part in (images.training, images.held_out)
        )
        if settings.legacy_eval:
            pixels, labels = self._held_out
            self._held_out = moved(pixels, self._steps, [SeededDraws(bytes(SEED_BYTES))]), labels

    @classmethod
    def load(cls, size: str, settings: TaskSettings, data: DataRequest) -> Self:
        """The task; raises a UserError when its images are not on this machine."""
        assert isinstance(settings, ImagesSettings)
        return cls(size, load_images(settings.data, data.spec), settings)

    @property
    def classes(self) -> int:
        """How many."""
        return self._form[2]

    def _construct_model(self) -> nn.Module:
        return image_model(self._chosen.model, *self._form)

    def build_model(self, seed: int) -> nn.Module:
        """As any task's; with `legacy_eval` it is in evaluation mode, and stays so in training."""
        model = super().build_model(seed)
        return model.eval() if self._chosen.legacy_eval else model

    def build_optimizer(self, model: nn.Module, schedule: Schedule | None = None) -> tuple[Optimizer, LambdaLR]:
        """SGD as the settings say."""
        from torch.optim import SGD

        chosen = schedule or self.schedule
        optimizer = SGD(
            model.parameters(),
            lr=chosen.learning_rate,
            momentum=self._chosen.momentum,
            nesterov=self._chosen.nesterov and self._chosen.momentum > 0,
            weight_decay=self._chosen.weight_decay,
            foreach=False,
        )
        return optimizer, chosen.scheduler(optimizer)

    def batch(self, seed: bytes, batch_size: int) -> Batch:
        """Images drawn with repetition, then moved as the transform says, all by the seed."""
        return Batch({name: tensor[0] for name, tensor in self.batches([seed], batch_size).items()}, batch_size)

    def batches(self, seeds: Sequence[bytes], batch_size: int) -> dict[str, torch.Tensor]:
        """All of them in one go: small calls take longer than what they do."""
        import torch

        draws = [SeededDraws(seed) for seed in seeds]
        images, labels = self._training
        chosen = torch.from_numpy(joint_integers(draws, "samples", len(seeds) * batch_size, len(labels)))
        pixels = moved(images.index_select(0, chosen), self._steps, draws)
        drawn = {"images": valued(pixels, self._table), "labels": labels[chosen]}
        return {name: tensor.view(len(seeds), batch_size, *tensor.shape[1:]) for name, tensor in drawn.items()}

    def label_flipped(self, batch: Batch) -> Batch:
        """The batch with the labels that `label_flip` makes of its own."""
        labels = batch.tensors["labels"]
        match self._chosen.label_flip:
            case LabelFlip.MIRRORED:
                return batch.replaced(labels=self.classes - 1 - labels)
            case LabelFlip.NEXT:
                return batch.replaced(labels=flipped_labels(labels, self.classes))

    def training_count(self) -> int:
        return len(self._training[1])

    def evaluation_batch(self) -> Batch:
        return self._batch(*self._held_out)

    def evaluation_batches(self) -> Iterable[Batch]:
        """The held-out images, some at once: all of them with a deep network do not fit into memory."""
        for parts in zip(*(tensor.split(_EVALUATED_AT_ONCE) for tensor in self._held_out), strict=True):
            yield self._batch(*parts)

    def statistics_batches(self) -> Iterable[Batch]:
        """None with `legacy_eval`, which keeps mean 0 and variance 1."""
        return () if self._chosen.legacy_eval else super().statistics_batches()

    def correct(self, model: nn.Module, batch: Batch) -> tuple[int, int]:
        """How many images have their class among the first `top_k` that the model gives them."""
        answers = model(batch.tensors["images"]).topk(min(self._chosen.top_k, self.classes)).indices
        return int((answers == batch.tensors["labels"][:, None]).sum()), batch.samples

    def _loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return self._chosen.loss.of(model(batch.tensors["images"]), batch.tensors["labels"])

    def _batch(self, images: torch.Tensor, labels: torch.Tensor) -> Batch:
        return Batch({"images": valued(images, self._table), "labels": labels}, len(labels))
