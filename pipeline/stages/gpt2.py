"""GPT-2 in stages."""

from __future__ import annotations

from typing import ClassVar

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel
from transformers.masking_utils import create_causal_mask

from btard.pipeline.stages.family import Context, Family, block_of
from btard.tasks.base import Batch


class Gpt2(Family):
    """Learned positions, normalisation before each half of a block and after the last."""

    model_type = "gpt2"
    architecture = GPT2LMHeadModel
    blocks = "transformer.h"
    first: ClassVar[tuple[str, ...]] = ("transformer.wte", "transformer.wpe")
    last: ClassVar[tuple[str, ...]] = ("transformer.ln_f", "lm_head")
    head = "lm_head.weight"
    embedding = "transformer.wte.weight"
    dropouts = ("resid_pdrop", "embd_pdrop", "attn_pdrop")

    def tiny(self, vocabulary: int, blocks: int, sequence: int) -> GPT2Config:
        """Return a model with two heads and a hidden size of 32."""
        return GPT2Config(
            vocab_size=vocabulary,
            n_positions=sequence,
            n_embd=32,
            n_layer=blocks,
            n_head=2,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )

    def embed(self, model: PreTrainedModel, batch: Batch) -> torch.Tensor:
        body, tokens = model.transformer, batch.tensors["input_ids"]
        hidden: torch.Tensor = body.drop(body.wte(tokens) + body.wpe(_positions(tokens)))
        return hidden

    def context(self, model: PreTrainedModel, hidden: torch.Tensor, batch: Batch) -> Context:
        """Return the causal mask, None where torch makes it itself, and the positions."""
        positions = _positions(hidden)
        mask = create_causal_mask(
            config=model.config,
            inputs_embeds=hidden,
            attention_mask=batch.tensors.get("attention_mask"),
            past_key_values=None,
            position_ids=positions,
        )
        return {"attention_mask": mask, "position_ids": positions}

    def apply(self, model: PreTrainedModel, block: int, hidden: torch.Tensor, context: Context) -> torch.Tensor:
        changed: torch.Tensor = block_of(model, self.blocks, block)(hidden, None, **context)
        return changed

    def logits(self, model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model.lm_head(model.transformer.ln_f(hidden))
        return found


def _positions(tokens: torch.Tensor) -> torch.Tensor:
    return torch.arange(tokens.shape[1], device=tokens.device).unsqueeze(0)
