"""BLOOM in stages: no positions but those that alibi adds to the attention of every block."""

from __future__ import annotations

from typing import ClassVar

import torch
from transformers import BloomConfig, BloomForCausalLM, PreTrainedModel
from transformers.masking_utils import create_causal_mask
from transformers.models.bloom.modeling_bloom import build_alibi_tensor

from btard.pipeline.stages.family import Context, Family, block_of
from btard.tasks.base import Batch


class Bloom(Family):
    """Every stage computes alibi anew: it follows from the mask and the number of heads."""

    model_type = "bloom"
    architecture = BloomForCausalLM
    blocks = "transformer.h"
    first: ClassVar[tuple[str, ...]] = ("transformer.word_embeddings", "transformer.word_embeddings_layernorm")
    last: ClassVar[tuple[str, ...]] = ("transformer.ln_f", "lm_head")
    head = "lm_head.weight"
    embedding = "transformer.word_embeddings.weight"
    dropouts = ("hidden_dropout", "attention_dropout")

    def tiny(self, vocabulary: int, blocks: int, sequence: int) -> BloomConfig:
        """Return a model with two heads and a hidden size of 32."""
        return BloomConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            n_layer=blocks,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=1,
        )

    def embed(self, model: PreTrainedModel, batch: Batch) -> torch.Tensor:
        body = model.transformer
        hidden: torch.Tensor = body.word_embeddings_layernorm(body.word_embeddings(batch.tensors["input_ids"]))
        return hidden

    def context(self, model: PreTrainedModel, hidden: torch.Tensor, batch: Batch) -> Context:
        """Return the causal mask, and alibi for it."""
        mask = batch.tensors.get("attention_mask")
        counted = torch.ones(hidden.shape[:2], dtype=torch.long, device=hidden.device) if mask is None else mask
        causal = create_causal_mask(
            config=model.config, inputs_embeds=hidden, attention_mask=mask, past_key_values=None
        )
        return {"attention_mask": causal, "alibi": build_alibi_tensor(counted, model.config.n_head, hidden.dtype)}

    def apply(self, model: PreTrainedModel, block: int, hidden: torch.Tensor, context: Context) -> torch.Tensor:
        changed: torch.Tensor = block_of(model, self.blocks, block)(hidden, **context)[0]
        return changed

    def logits(self, model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model.lm_head(model.transformer.ln_f(hidden))
        return found
