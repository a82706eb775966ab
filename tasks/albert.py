"""ALBERT from scratch: fill in masked tokens and tell whether two segments are in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from btard.tasks.base import IGNORED_LABEL, Batch, Schedule, flipped_labels
from btard.tasks.data.prepare import TokenisedRequest
from btard.tasks.data.tokenised import Layout, TokenisedCorpus
from btard.tasks.data.vocabulary import TokenizerKind, TokenizerRequest
from btard.tasks.randomness import SeededDraws
from btard.tasks.settings import TaskSettings
from btard.tasks.text import TextShape, TextTask

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import AlbertConfig

_SPECIALS = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
_SPECIALS_IN_SAMPLE = 3
_MASKED_SHARE = 0.15
_REPLACED_BY_MASK = 0.8
_REPLACED_BY_RANDOM = 0.1


@dataclass(frozen=True, slots=True)
class _Shape(TextShape):
    embedding: int
    hidden: int
    layers: int
    heads: int

    def tokenised(self) -> TokenisedRequest:
        return TokenisedRequest(
            tokenizer=TokenizerRequest(
                kind=TokenizerKind.UNCASED_WORD_PIECES,
                vocabulary_size=self.vocabulary,
                specials=_SPECIALS,
                separator=None,
            ),
            layout=Layout.PAIRS,
            sample_tokens=self.sequence - _SPECIALS_IN_SAMPLE,
        )


_SHAPES = {
    "tiny": _Shape(
        embedding=64,
        hidden=128,
        layers=2,
        heads=2,
        sequence=64,
        vocabulary=1_024,
        schedule=Schedule(learning_rate=0.006, warmup_steps=50, total_steps=20_000),
        evaluation_samples=128,
    ),
    # ALBERT-large and the schedule of the BTARD experiments, which is the one of the LAMB paper's recipe.
    "large": _Shape(
        embedding=128,
        hidden=1_024,
        layers=24,
        heads=16,
        sequence=512,
        vocabulary=30_000,
        schedule=Schedule(learning_rate=0.00176, warmup_steps=5_000, total_steps=1_000_000),
        evaluation_samples=16,
    ),
}


class AlbertTask(TextTask):
    """ALBERT trained from scratch with LAMB.

    Batches hold, all int64: `input_ids`, `token_type_ids` (0 for the first segment with its marks, 1 for the second)
    and `labels` (the true token where one was masked, else -100), each (samples, sequence); and `sentence_order_label`
    (0 in order, 1 swapped), (samples,). A sample is `[CLS] first [SEP] second [SEP]` and always full: it needs no
    attention mask.
    """

    name = "albert"
    shapes = _SHAPES
    sizes = tuple(_SHAPES)
    late_imports = ("btard.tasks.lamb", "transformers:AlbertForPreTraining")

    def __init__(self, size: str, corpus: TokenisedCorpus, settings: TaskSettings | None = None) -> None:
        super().__init__(size, corpus, settings)
        vocabulary = corpus.tokenizer.get_vocab()
        numbers = [vocabulary[token] for token in _SPECIALS]
        self._padding, _, self._start, self._separator, self._mask = numbers
        self._ordinary = np.setdiff1d(np.arange(corpus.meta.vocabulary_size, dtype=np.int64), numbers)

    def config(self) -> AlbertConfig:
        """The model's configuration; without dropout, as version 2 of the published models."""
        # Importing transformers takes seconds, which preparing data need not pay.
        from transformers import AlbertConfig

        shape = self.shapes[self.size]
        return AlbertConfig(
            vocab_size=self.corpus.meta.vocabulary_size,
            embedding_size=shape.embedding,
            hidden_size=shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=4 * shape.hidden,
            max_position_embeddings=shape.sequence,
            # The same function as gelu_new, in one operation.
            hidden_act="gelu_pytorch_tanh",
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            classifier_dropout_prob=0.0,
            pad_token_id=self._padding,
            bos_token_id=self._start,
            eos_token_id=self._separator,
        )

    def _construct_model(self) -> nn.Module:
        from transformers import AlbertForPreTraining

        return AlbertForPreTraining(self.config())

    def build_optimizer(self, model: nn.Module, schedule: Schedule | None = None) -> tuple[Optimizer, LambdaLR]:
        chosen = schedule or self.schedule
        from btard.tasks.lamb import build_lamb

        optimizer = build_lamb(model, chosen.learning_rate)
        return optimizer, chosen.scheduler(optimizer)

    def label_flipped(self, batch: Batch) -> Batch:
        return batch.replaced(
            labels=flipped_labels(batch.tensors["labels"], self.corpus.meta.vocabulary_size),
            sentence_order_label=1 - batch.tensors["sentence_order_label"],
        )

    def _assemble(self, chosen: npt.NDArray[np.int64], draws: SeededDraws) -> Batch:
        import torch

        swapped = draws.integers("order", len(chosen), 2)
        tokens, segments = self._paired(chosen, swapped)
        inputs, labels = self._masked(tokens, draws)
        arrays = {
            "input_ids": inputs,
            "token_type_ids": segments,
            "labels": labels,
            "sentence_order_label": swapped,
        }
        return Batch({name: torch.from_numpy(array) for name, array in arrays.items()}, len(chosen))

    def _paired(
        self, chosen: npt.NDArray[np.int64], swapped: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Tokens with the marks around both segments, and the segment numbers; both int64, (samples, sequence)."""
        assert self.corpus.boundaries is not None
        tokens = np.empty((len(chosen), self.shapes[self.size].sequence), dtype=np.int64)
        segments = np.zeros_like(tokens)
        for row, (sample, swap) in enumerate(zip(chosen, swapped, strict=True)):
            content = self.corpus.tokens[sample]
            boundary = int(self.corpus.boundaries[sample])
            first, second = content[:boundary], content[boundary:]
            if swap:
                first, second = second, first
            tokens[row] = np.concatenate(([self._start], first, [self._separator], second, [self._separator]))
            segments[row, len(first) + 2 :] = 1
        return tokens, segments

    def _masked(
        self, tokens: npt.NDArray[np.int64], draws: SeededDraws
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Inputs with masked tokens, and labels; both int64, (samples, sequence).

        The same number is masked in every sample, so that a batch never lacks labels, whose mean loss would be NaN.
        """
        samples, sequence = tokens.shape
        ranks = draws.bits("masked positions", tokens.size).reshape(tokens.shape)
        is_mark = (tokens == self._start) | (tokens == self._separator)
        # Marks come last in the order, so they are never among the chosen.
        order = np.lexsort((ranks, is_mark), axis=1)
        count = max(1, round(_MASKED_SHARE * (sequence - _SPECIALS_IN_SAMPLE)))
        chosen = (np.arange(samples)[:, None], order[:, :count])

        labels = np.full_like(tokens, IGNORED_LABEL)
        labels[chosen] = tokens[chosen]
        kind = draws.uniform("masking kinds", samples * count).reshape(samples, count)
        random = self._ordinary[draws.integers("random tokens", samples * count, len(self._ordinary))]
        replaced = np.where(kind < _REPLACED_BY_MASK, self._mask, tokens[chosen])
        by_random = (kind >= _REPLACED_BY_MASK) & (kind < _REPLACED_BY_MASK + _REPLACED_BY_RANDOM)
        inputs = tokens.copy()
        inputs[chosen] = np.where(by_random, random.reshape(samples, count), replaced)
        return inputs, labels

    def _loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        loss: torch.Tensor = model(**batch.tensors).loss
        return loss
