"""GPT-2 from scratch: predict the next token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from btard.tasks.base import IGNORED_LABEL, Batch, Schedule, decay_groups, flipped_labels
from btard.tasks.data.prepare import TokenisedRequest
from btard.tasks.data.tokenised import Layout
from btard.tasks.data.vocabulary import TokenizerKind, TokenizerRequest
from btard.tasks.randomness import SeededDraws
from btard.tasks.text import TextShape, TextTask

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import GPT2Config


@dataclass(frozen=True, slots=True)
class _Shape(TextShape):
    hidden: int
    layers: int
    heads: int
    dropout: float
    tokenizer: TokenizerKind

    def tokenised(self) -> TokenisedRequest:
        characters = self.tokenizer is TokenizerKind.CHARACTERS
        return TokenisedRequest(
            tokenizer=TokenizerRequest(
                kind=self.tokenizer,
                vocabulary_size=self.vocabulary,
                specials=("<unk>", "<|endoftext|>") if characters else ("<|endoftext|>",),
                separator="<|endoftext|>",
            ),
            layout=Layout.STREAM,
            sample_tokens=self.sequence,
        )


_SHAPES = {
    "tiny": _Shape(
        hidden=64,
        layers=2,
        heads=2,
        sequence=64,
        dropout=0.05,
        vocabulary=256,
        tokenizer=TokenizerKind.CHARACTERS,
        schedule=Schedule(learning_rate=2e-3, warmup_steps=60, total_steps=5_000),
        evaluation_samples=128,
    ),
    "small": _Shape(
        hidden=768,
        layers=12,
        heads=12,
        sequence=512,
        dropout=0.1,
        vocabulary=32_000,
        tokenizer=TokenizerKind.BYTE_PAIRS,
        schedule=Schedule(learning_rate=6e-4, warmup_steps=2_000, total_steps=600_000),
        evaluation_samples=16,
    ),
}


class GptTask(TextTask):
    """GPT-2 trained from scratch with AdamW. Batches hold `input_ids` and `labels`, int64, (samples, sequence)."""

    name = "gpt"
    shapes = _SHAPES
    sizes = tuple(_SHAPES)
    late_imports = ("transformers:GPT2LMHeadModel",)

    def config(self) -> GPT2Config:
        """The model's configuration."""
        # Importing transformers takes seconds, which preparing data need not pay.
        from transformers import GPT2Config

        shape = self.shapes[self.size]
        end = self.corpus.tokenizer.token_to_id("<|endoftext|>")
        return GPT2Config(
            vocab_size=self.corpus.meta.vocabulary_size,
            n_positions=shape.sequence,
            n_embd=shape.hidden,
            n_layer=shape.layers,
            n_head=shape.heads,
            resid_pdrop=shape.dropout,
            embd_pdrop=shape.dropout,
            # Fused attention kernels want no dropout inside.
            attn_pdrop=0.0,
            # The same function as gelu_new, in one operation.
            activation_function="gelu_pytorch_tanh",
            bos_token_id=end,
            eos_token_id=end,
            use_cache=False,
        )

    def _construct_model(self) -> nn.Module:
        from transformers import GPT2LMHeadModel

        return GPT2LMHeadModel(self.config())

    def build_optimizer(self, model: nn.Module, schedule: Schedule | None = None) -> tuple[Optimizer, LambdaLR]:
        """AdamW, which spares biases and normalisation weights the decay, and its scheduler."""
        from torch.optim import AdamW

        chosen = schedule or self.schedule
        groups = decay_groups(model.named_parameters(), weight_decay=0.1)
        optimizer = AdamW(groups, lr=chosen.learning_rate, betas=(0.9, 0.95), eps=1e-8, foreach=False)
        return optimizer, chosen.scheduler(optimizer)

    def label_flipped(self, batch: Batch) -> Batch:
        return batch.replaced(labels=flipped_labels(batch.tensors["labels"], self.corpus.meta.vocabulary_size))

    def _assemble(self, chosen: npt.NDArray[np.int64], draws: SeededDraws) -> Batch:
        import torch

        tokens = torch.from_numpy(self.corpus.tokens[chosen].astype(np.int64))
        return Batch({"input_ids": tokens, "labels": tokens.clone()}, len(chosen))

    def _loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        from torch.nn import functional

        logits = model(input_ids=batch.tensors["input_ids"]).logits[:, :-1]
        targets = batch.tensors["labels"][:, 1:]
        return functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]).float(), targets.reshape(-1), ignore_index=IGNORED_LABEL
        )
