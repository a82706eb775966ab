"""OPT in stages, with what only OPT-350m has: narrow embeddings with projections, normalisation behind each half."""

from __future__ import annotations

from typing import ClassVar

import torch
from transformers import OPTConfig, OPTForCausalLM, PreTrainedModel
from transformers.masking_utils import create_causal_mask

from btard.pipeline.stages.family import Context, Family, block_of
from btard.tasks.base import Batch


class Opt(Family):
    """Learned positions with an offset of two; projections and the last normalisation where the model has them."""

    model_type = "opt"
    architecture = OPTForCausalLM
    blocks = "model.decoder.layers"
    first: ClassVar[tuple[str, ...]] = (
        "model.decoder.embed_tokens",
        "model.decoder.embed_positions",
        "model.decoder.project_in",
    )
    last: ClassVar[tuple[str, ...]] = ("model.decoder.final_layer_norm", "model.decoder.project_out", "lm_head")
    head = "lm_head.weight"
    embedding = "model.decoder.embed_tokens.weight"
    # LayerDrop leaves out whole blocks at random, so it counts.
    dropouts = ("dropout", "attention_dropout", "layerdrop")

    def tiny(self, vocabulary: int, blocks: int, sequence: int) -> OPTConfig:
        """Return a model as OPT-350m is, with projections, two heads and a hidden size of 32."""
        return OPTConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            word_embed_proj_dim=16,
            do_layer_norm_before=False,
            ffn_dim=64,
            num_hidden_layers=blocks,
            num_attention_heads=2,
            max_position_embeddings=sequence,
            dropout=0.0,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=1,
        )

    def embed(self, model: PreTrainedModel, batch: Batch) -> torch.Tensor:
        """Return embeddings through their projection, with positions added."""
        body, tokens = model.model.decoder, batch.tensors["input_ids"]
        embedded, positions = body.embed_tokens(tokens), _positions(tokens, batch)
        if body.project_in is not None:
            embedded = body.project_in(embedded)
        hidden: torch.Tensor = embedded + body.embed_positions(tokens, position_ids=positions)
        return hidden

    def context(self, model: PreTrainedModel, hidden: torch.Tensor, batch: Batch) -> Context:
        """Return the causal mask, None where torch makes it itself, and the positions."""
        mask = create_causal_mask(
            config=model.config,
            inputs_embeds=hidden,
            attention_mask=batch.tensors.get("attention_mask"),
            past_key_values=None,
        )
        return {"attention_mask": mask, "position_ids": _positions(hidden, batch)}

    def apply(self, model: PreTrainedModel, block: int, hidden: torch.Tensor, context: Context) -> torch.Tensor:
        changed: torch.Tensor = block_of(model, self.blocks, block)(hidden, **context)
        return changed

    def logits(self, model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
        """Return them from behind the last normalisation and projection, where the model has them."""
        body = model.model.decoder
        if body.final_layer_norm is not None:
            hidden = body.final_layer_norm(hidden)
        if body.project_out is not None:
            hidden = body.project_out(hidden)
        found: torch.Tensor = model.lm_head(hidden)
        return found


def _positions(like: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the positions of tokens that count, -1 for those that do not; (samples, sequence)."""
    mask = batch.tensors.get("attention_mask")
    if mask is None:
        mask = torch.ones(like.shape[:2], dtype=torch.long, device=like.device)
    return (mask.cumsum(dim=1) * mask - 1).long()
