"""What a family of models tells of itself, so that any of its models can be cut into stages.

Every family uses the modules of `transformers` as they are, under the names they have there: the weights of all stages
together are the weights of the whole model.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from btard.errors import UserError
from btard.tasks.base import IGNORED_LABEL, Batch

Context = Mapping[str, Any]
"""What all blocks of a stage are given beside the activation: masks, positions."""


class Family(ABC):
    """One architecture: where its blocks, embeddings and head are, and how they are called.

    All methods take a model, perhaps with the modules of one stage only.

    Attributes:
        model_type: as `config.json` says it.
        architecture: the class in `transformers`.
        blocks: the name of the list of blocks.
        first: prefixes of names that only the first stage holds.
        last: prefixes of names that only the last stage holds.
        everywhere: prefixes of names of which every stage holds a copy.
        head: the weight of the head that may be tied to `embedding`; empty where the family ties none.
        embedding: the weight of the token embedding.
        dropouts: the probabilities in the configuration.
    """

    model_type: ClassVar[str]
    architecture: ClassVar[type[PreTrainedModel]]
    blocks: ClassVar[str]
    first: ClassVar[tuple[str, ...]]
    last: ClassVar[tuple[str, ...]]
    everywhere: ClassVar[tuple[str, ...]] = ()
    head: ClassVar[str] = ""
    embedding: ClassVar[str]
    dropouts: ClassVar[tuple[str, ...]]

    @abstractmethod
    def tiny(self, vocabulary: int, blocks: int, sequence: int) -> PretrainedConfig:
        """Return the configuration of a model of a few thousand weights, without dropout, for tests and trials."""

    @abstractmethod
    def embed(self, model: PreTrainedModel, batch: Batch) -> torch.Tensor:
        """Return the activation before the first block, (samples, sequence, hidden)."""

    @abstractmethod
    def context(self, model: PreTrainedModel, hidden: torch.Tensor, batch: Batch) -> Context:
        """Return what the blocks of a stage need beside the activation."""

    @abstractmethod
    def apply(self, model: PreTrainedModel, block: int, hidden: torch.Tensor, context: Context) -> torch.Tensor:
        """Return the activation after a block, of the same shape."""

    @abstractmethod
    def logits(self, model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
        """Return what the model says, from the activation after the last block: (samples, sequence, vocabulary), or
        (samples, classes)."""

    def loss(self, model: PreTrainedModel, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the mean loss of a batch from the activation after the last block: that of the next token."""
        return next_token_loss(self.logits(model, hidden), batch)

    def repair(self, model: PreTrainedModel) -> None:
        """Compute the buffers that no file holds; most families have none."""
        return

    def depth(self, config: PretrainedConfig) -> int:
        """Return how many blocks there are."""
        return int(config.num_hidden_layers)

    def has_dropout(self, config: PretrainedConfig) -> bool:
        """Whether two computations of one activation may differ by chance."""
        return any(getattr(config, name, None) for name in self.dropouts)

    def without_dropout(self, config: PretrainedConfig) -> PretrainedConfig:
        """Return the same configuration with every dropout 0."""
        changed = copy.deepcopy(config)
        for name in self.dropouts:
            if getattr(changed, name, None):
                setattr(changed, name, 0.0)
        return changed

    def construct(self, config: PretrainedConfig) -> PreTrainedModel:
        """Return the whole model on torch's default device; head and embedding are two tensors even if tied."""
        untied = copy.deepcopy(config)
        untied.tie_word_embeddings = False
        untied.use_cache = False
        return self.architecture(untied)

    def outline(self, config: PretrainedConfig) -> PreTrainedModel:
        """Return the whole model without any numbers, on torch's device `meta`."""
        with torch.device("meta"), no_init_weights():
            return self.construct(config)

    def ties(self, config: PretrainedConfig) -> dict[str, str]:
        """Return which names are copies of another name's tensor."""
        return {self.head: self.embedding} if self.head and config.tie_word_embeddings else {}

    def fresh_state(self, config: PretrainedConfig) -> dict[str, torch.Tensor]:
        """Return the weights of a new model, drawn from torch's generator: all names, float32."""
        state = dict(self.construct(config).state_dict())
        for copied, original in self.ties(config).items():
            state[copied] = state[original].clone()
        return state


def next_token_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the mean cross-entropy of the next token.

    Args:
        logits: (samples, sequence, vocabulary).
        batch: `labels`, int64, (samples, sequence), `IGNORED_LABEL` where none counts.
    """
    # The last position has no next token, but is in the sum: without it, torch adds in another order than transformers.
    following = functional.pad(batch.tensors["labels"], (0, 1), value=IGNORED_LABEL)[:, 1:]
    rows = logits.reshape(-1, logits.shape[-1]).float()
    return functional.cross_entropy(rows, following.reshape(-1), ignore_index=IGNORED_LABEL)


def block_of(model: PreTrainedModel, path: str, block: int) -> nn.Module:
    """Return a block by its number."""
    return model.get_submodule(f"{path}.{block}")


def families() -> dict[str, Family]:
    """Return every family by its `model_type`."""
    from btard.pipeline.stages.bloom import Bloom
    from btard.pipeline.stages.deberta import DebertaV2
    from btard.pipeline.stages.gpt2 import Gpt2
    from btard.pipeline.stages.opt import Opt

    return {family.model_type: family for family in (Gpt2(), Opt(), Bloom(), DebertaV2())}


def family_of(config: PretrainedConfig) -> Family:
    """Return the family of a model.

    Raises:
        UserError: it is of none that can be cut.
    """
    found = families()
    if config.model_type not in found:
        raise UserError(f"models of type {config.model_type!r} cannot be cut into stages; {', '.join(found)} can")
    return found[config.model_type]
