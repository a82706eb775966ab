"""DeBERTa-v2 in stages, for classification."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn import functional
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification, PreTrainedModel

from btard.pipeline.stages.family import Context, Family, block_of
from btard.tasks.base import Batch


class DebertaV2(Family):
    """All blocks use one table of relative positions, so every stage holds a copy, and the copies are tied.

    The convolution reads what goes into the first block and what comes out of it: it belongs to the first stage.
    """

    model_type = "deberta-v2"
    architecture = DebertaV2ForSequenceClassification
    blocks = "deberta.encoder.layer"
    first: ClassVar[tuple[str, ...]] = ("deberta.embeddings", "deberta.encoder.conv")
    last: ClassVar[tuple[str, ...]] = ("pooler", "classifier", "dropout")
    everywhere: ClassVar[tuple[str, ...]] = ("deberta.encoder.rel_embeddings", "deberta.encoder.LayerNorm")
    embedding = "deberta.embeddings.word_embeddings.weight"
    dropouts = ("hidden_dropout_prob", "attention_probs_dropout_prob", "pooler_dropout", "cls_dropout")

    def tiny(self, vocabulary: int, blocks: int, sequence: int) -> DebertaV2Config:
        """Return a model with relative positions, their normalisation and the convolution, with a hidden size of 32."""
        return DebertaV2Config(
            vocab_size=vocabulary,
            hidden_size=32,
            num_hidden_layers=blocks,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=sequence,
            type_vocab_size=0,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            pooler_dropout=0.0,
            relative_attention=True,
            position_buckets=4,
            norm_rel_ebd="layer_norm",
            share_att_key=True,
            pos_att_type="p2c|c2p",
            position_biased_input=False,
            conv_kernel_size=3,
        )

    def embed(self, model: PreTrainedModel, batch: Batch) -> torch.Tensor:
        tokens = batch.tensors["input_ids"]
        hidden: torch.Tensor = model.deberta.embeddings(input_ids=tokens, mask=_mask(tokens, batch))
        return hidden

    def context(self, model: PreTrainedModel, hidden: torch.Tensor, batch: Batch) -> Context:
        """Return masks, relative positions and the table that all blocks share."""
        encoder, mask = model.deberta.encoder, _mask(hidden, batch)
        return {
            "mask": mask,
            "attention_mask": encoder.get_attention_mask(mask),
            "relative_pos": encoder.get_rel_pos(hidden),
            "rel_embeddings": encoder.get_rel_embedding(),
        }

    def apply(self, model: PreTrainedModel, block: int, hidden: torch.Tensor, context: Context) -> torch.Tensor:
        """Apply a block, and the convolution behind the first."""
        given = dict(context)
        mask, encoder = given.pop("mask"), model.deberta.encoder
        changed: torch.Tensor = block_of(model, self.blocks, block)(hidden, **given)[0]
        if block == 0 and encoder.conv is not None:
            changed = encoder.conv(hidden, changed, mask)
        return changed

    def logits(self, model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model.classifier(model.dropout(model.pooler(hidden)))
        return found

    def loss(self, model: PreTrainedModel, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        return functional.cross_entropy(self.logits(model, hidden).float(), batch.tensors["labels"])

    def repair(self, model: PreTrainedModel) -> None:
        embeddings = model.deberta.embeddings
        if hasattr(embeddings, "position_ids"):
            embeddings.position_ids = torch.arange(model.config.max_position_embeddings).expand((1, -1))


def _mask(like: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return which tokens count, (samples, sequence)."""
    mask = batch.tensors.get("attention_mask")
    return torch.ones(like.shape[:2], device=like.device) if mask is None else mask
