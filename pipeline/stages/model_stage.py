"""One stage: its part of a model, with the weights that it holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from btard.errors import UserError
from btard.pipeline.stages.family import Family, family_of
from btard.pipeline.stages.split import Split
from btard.tasks.base import Batch


class ActivationCheck(StrEnum):
    """How two computations of one activation are compared."""

    EXACT = "exact"
    TOLERANT = "tolerant"


@dataclass(frozen=True)
class Cut:
    """A model and how it is cut.

    Attributes:
        config: of the whole model.
        split: how many blocks each stage holds.
        check: how activations are checked.

    Raises:
        UserError: the family cannot be cut, the split has other blocks than the model, or bits are to be compared
            although dropout makes them differ.
    """

    config: PretrainedConfig
    split: Split
    check: ActivationCheck = ActivationCheck.EXACT

    def __post_init__(self) -> None:
        depth = self.family.depth(self.config)
        if sum(self.split.blocks) != depth:
            raise UserError(f"the split {self.split} has {sum(self.split.blocks)} blocks, but the model has {depth}")
        if self.check is ActivationCheck.EXACT and self.family.has_dropout(self.config):
            raise UserError(
                "activations cannot be compared bit for bit under dropout; set every dropout of the model to 0"
            )

    @cached_property
    def family(self) -> Family:
        """What is special to this architecture."""
        return family_of(self.config)

    @property
    def stages(self) -> int:
        """How many stages there are."""
        return self.split.stages

    @cached_property
    def outline(self) -> PreTrainedModel:
        """The whole model, without any numbers; read only."""
        return self.family.outline(self.config)

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of every tensor of the whole model by its name, in the model's order; read only."""
        return {name: tuple(tensor.shape) for name, tensor in self.outline.state_dict().items()}

    def holds(self, stage: int, name: str) -> bool:
        """Whether a stage holds the tensor or module of this name in the whole model."""
        family = self.family
        if _below(name, [family.blocks]):
            number = name.removeprefix(family.blocks + ".").split(".")[0]
            return number.isdigit() and int(number) in self.split.span(stage)
        if _below(name, family.first):
            return stage == 0
        if _below(name, family.last):
            return stage == self.stages - 1
        return _below(name, family.everywhere)


class ModelStage(nn.Module):
    """A stage that computes: from tokens or an activation to an activation or a loss.

    Every stage knows the micro-batch, which follows from a public seed: activations travel, masks and labels do not.

    Attributes:
        cut: of which model it is a part.
        number: which part, from 0.
        part: the model of `transformers` without the modules of the other stages.
    """

    def __init__(self, cut: Cut, number: int, state: Mapping[str, torch.Tensor]) -> None:
        """Build a stage from weights: at least those that it holds, which are copied as float32.

        Raises:
            UserError: a weight is missing or has another shape.
        """
        super().__init__()
        self.cut, self.number = cut, number
        self.part: PreTrainedModel = cut.family.outline(cut.config)
        _prune(self.part, cut, number)
        names = list(self.part.state_dict())
        if missing := [name for name in names if name not in state]:
            raise UserError(f"the weights of stage {number} lack {missing[0]}, and {len(missing) - 1} others")
        own = {name: state[name].detach().to(torch.float32, copy=True) for name in names}
        try:
            self.part.load_state_dict(own, assign=True)
        except RuntimeError as error:
            raise UserError(f"the weights of stage {number} are of another model: {error}") from None
        cut.family.repair(self.part)
        self.part.requires_grad_(True)
        self.train()

    @property
    def is_first(self) -> bool:
        """Whether tokens go in."""
        return self.number == 0

    @property
    def is_last(self) -> bool:
        """Whether a loss comes out."""
        return self.number == self.cut.stages - 1

    def forward(self, batch: Batch, hidden: torch.Tensor | None) -> torch.Tensor:
        """Return the activation after the stage's blocks, or the mean loss of the batch if it is the last stage.

        Args:
            batch: `input_ids` and `labels`, and perhaps `attention_mask`.
            hidden: the activation of the stage before, (samples, sequence, hidden); None for the first stage.
        """
        hidden = self._through_blocks(batch, hidden)
        return self.cut.family.loss(self.part, hidden, batch) if self.is_last else hidden

    def logits(self, batch: Batch, hidden: torch.Tensor | None) -> torch.Tensor:
        """Return what the last stage says of a batch, before any loss: (samples, sequence, vocabulary), or (samples,
        classes); see `forward` for the arguments."""
        return self.cut.family.logits(self.part, self._through_blocks(batch, hidden))

    def _through_blocks(self, batch: Batch, hidden: torch.Tensor | None) -> torch.Tensor:
        family = self.cut.family
        if hidden is None:
            hidden = family.embed(self.part, batch)
        context = family.context(self.part, hidden, batch)
        for block in self.cut.split.span(self.number):
            hidden = family.apply(self.part, block, hidden, context)
        return hidden

    def weights(self) -> dict[str, nn.Parameter]:
        """Return the stage's parameters by their names in the whole model."""
        return dict(self.part.named_parameters())


def tied_names(cut: Cut) -> dict[str, tuple[tuple[int, str], ...]]:
    """Return for each tensor with several copies, by its first name: stage and name of every copy.

    Stages ascend, and within one the first name leads: what is first does not depend on the cut.
    """
    ties = cut.family.ties(cut.config)
    copies: dict[str, list[tuple[int, str]]] = {}
    for name in cut.shapes:
        for stage in range(cut.stages):
            if cut.holds(stage, name):
                copies.setdefault(ties.get(name, name), []).append((stage, name))
    return {
        first: tuple(sorted(places, key=lambda place: (place[0], place[1] != first)))
        for first, places in copies.items()
        if len(places) > 1
    }


def stage_names(cut: Cut, stage: int) -> list[str]:
    """Return the names of the tensors that a stage holds, in the order of the whole model."""
    return [name for name in cut.shapes if cut.holds(stage, name)]


def _prune(model: PreTrainedModel, cut: Cut, stage: int) -> None:
    """Take out every module that has weights or buffers and belongs to other stages only."""
    family = cut.family
    outside = [f"{family.blocks}.{block}" for block in range(family.depth(cut.config))]
    for name in [*outside, *family.first, *family.last]:
        path, _, leaf = name.rpartition(".")
        parent = model.get_submodule(path)
        if not cut.holds(stage, name) and getattr(parent, leaf, None) is not None:
            setattr(parent, leaf, nn.Identity())


def _below(name: str, prefixes: Iterable[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)
