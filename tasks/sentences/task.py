"""A small DeBERTa that names the class of a sentence, or of a pair of sentences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from btard.configuration import Option
from btard.tasks.base import Batch, DataRequest, Schedule, decay_groups, flipped_labels
from btard.tasks.classes import ClassesTask
from btard.tasks.data.vocabulary import Encoder, TokenizerKind, TokenizerRequest, load, train
from btard.tasks.randomness import SeededDraws
from btard.tasks.sentences.labelled import SentenceSet, read_labelled
from btard.tasks.settings import TaskSettings

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import DebertaV2Config

PADDING, START, END, UNKNOWN = "[PAD]", "[CLS]", "[SEP]", "[UNK]"
_HELD_OUT_EVERY = 20
_EVALUATION_SAMPLES, _EVALUATION_BATCH = 512, 64


@dataclass(frozen=True, slots=True)
class _Shape:
    sequence: int
    vocabulary: int
    hidden: int
    layers: int
    schedule: Schedule


_SHAPES = {
    "tiny": _Shape(64, 2048, 64, 2, Schedule(learning_rate=2e-3, warmup_steps=20, total_steps=2_000)),
    "small": _Shape(128, 16_000, 256, 6, Schedule(learning_rate=3e-4, warmup_steps=500, total_steps=50_000)),
}


class SentencesSettings(TaskSettings):
    """The settings of `sentences`."""

    data: Annotated[SentenceSet, Option("which set: its columns and classes")] = SentenceSet.PLAYS


class SentencesTask(ClassesTask):
    """Batches hold `input_ids` and `attention_mask`, int64, (samples, sequence), and `labels`, int64, (samples,).

    Attributes:
        classes: how many there are.
        vocabulary_size: how many tokens there are.
        sequence: tokens of a sample, padding included; longer texts lose their ends.
    """

    name = "sentences"
    sizes = tuple(_SHAPES)
    Settings = SentencesSettings
    late_imports = ("transformers:DebertaV2ForSequenceClassification",)

    @classmethod
    def load(cls, size: str, settings: TaskSettings, data: DataRequest) -> Self:
        """The task with its data; every twentieth sample of the source is held out.

        Raises:
            UserError: the data cannot be had, or belong to another set.
        """
        assert isinstance(settings, SentencesSettings)
        found = read_labelled(settings.data, data.spec, data.access)
        request = TokenizerRequest(
            kind=TokenizerKind.UNCASED_WORD_PIECES,
            vocabulary_size=_SHAPES[size].vocabulary,
            specials=(PADDING, START, END, UNKNOWN),
            separator=None,
        )
        if data.spec.tokenizer is not None:
            encoder = load(Path(data.spec.tokenizer), request)
        else:
            encoder = train(request, (text for texts in found.texts for text in texts))
        tokens = _tokens(encoder, found.texts, _SHAPES[size].sequence)
        return cls(size, settings, encoder, tokens, found.labels)

    def __init__(
        self,
        size: str,
        settings: SentencesSettings,
        encoder: Encoder,
        tokens: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int64],
    ) -> None:
        """
        Args:
            encoder: whose tokenizer has made the tokens.
            tokens: (samples, sequence), those of `PADDING` behind the end.
            labels: (samples,).
        """
        self.classes, self.sequence = settings.data.classes, int(tokens.shape[1])
        self.vocabulary_size = int(encoder.tokenizer.get_vocab_size())
        self._padding = _number(encoder, PADDING)
        digest = blake3(f"btard sentences 1 {self.sequence} {encoder.tokenizer.to_str()}".encode())
        digest.update(tokens.astype("<i8").tobytes() + labels.astype("<i8").tobytes())
        super().__init__(size, digest.hexdigest(), _SHAPES[size].schedule, settings)
        held_out = np.arange(len(labels)) % _HELD_OUT_EVERY == 0
        self._training = tokens[~held_out], labels[~held_out]
        self._held_out = tokens[held_out][:_EVALUATION_SAMPLES], labels[held_out][:_EVALUATION_SAMPLES]

    def config(self) -> DebertaV2Config:
        """The model's configuration."""
        from transformers import DebertaV2Config

        shape = _SHAPES[self.size]
        return DebertaV2Config(
            vocab_size=self.vocabulary_size,
            hidden_size=shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=max(2, shape.hidden // 64),
            intermediate_size=4 * shape.hidden,
            max_position_embeddings=shape.sequence,
            type_vocab_size=0,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            pooler_dropout=0.0,
            relative_attention=True,
            position_buckets=16,
            norm_rel_ebd="layer_norm",
            share_att_key=True,
            pos_att_type="p2c|c2p",
            position_biased_input=False,
            pad_token_id=self._padding,
            num_labels=self.classes,
        )

    def _construct_model(self) -> nn.Module:
        from transformers import DebertaV2ForSequenceClassification

        return DebertaV2ForSequenceClassification(self.config())

    def build_optimizer(self, model: nn.Module, schedule: Schedule | None = None) -> tuple[Optimizer, LambdaLR]:
        """AdamW, which spares biases and normalisation weights the decay, and its scheduler."""
        from torch.optim import AdamW

        chosen = schedule or self.schedule
        groups = decay_groups(model.named_parameters(), weight_decay=0.01)
        optimizer = AdamW(groups, lr=chosen.learning_rate, foreach=False)
        return optimizer, chosen.scheduler(optimizer)

    def batch(self, seed: bytes, batch_size: int) -> Batch:
        tokens, labels = self._training
        chosen = SeededDraws(seed).integers("samples", batch_size, len(labels))
        return self._batch(tokens[chosen], labels[chosen])

    def label_flipped(self, batch: Batch) -> Batch:
        return batch.replaced(labels=flipped_labels(batch.tensors["labels"], self.classes))

    def evaluation_batch(self) -> Batch:
        return self._batch(*self._held_out)

    def evaluation_batches(self) -> Iterable[Batch]:
        tokens, labels = self._held_out
        for first in range(0, len(labels), _EVALUATION_BATCH):
            part = slice(first, first + _EVALUATION_BATCH)
            yield self._batch(tokens[part], labels[part])

    def correct(self, model: nn.Module, batch: Batch) -> tuple[int, int]:
        """How many classes the model names rightly."""
        said = model(input_ids=batch.tensors["input_ids"], attention_mask=batch.tensors["attention_mask"]).logits
        return int((said.argmax(1) == batch.tensors["labels"]).sum()), batch.samples

    def _batch(self, tokens: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> Batch:
        import torch

        ids = torch.from_numpy(tokens.copy())
        mask = (ids != self._padding).long()
        return Batch({"input_ids": ids, "attention_mask": mask, "labels": torch.from_numpy(labels.copy())}, len(labels))

    def _loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        from torch.nn import functional

        said = model(input_ids=batch.tensors["input_ids"], attention_mask=batch.tensors["attention_mask"]).logits
        return functional.cross_entropy(said.float(), batch.tensors["labels"])


def _number(encoder: Encoder, mark: str) -> int:
    number = encoder.tokenizer.token_to_id(mark)
    assert number is not None  # it was asked for when the tokenizer was made
    return int(number)


def _tokens(encoder: Encoder, texts: list[tuple[str, ...]], sequence: int) -> npt.NDArray[np.int64]:
    """Return the tokens of samples, (samples, sequence): a start, then each text and an end, then padding.

    Of a pair whose texts are too long each keeps as much as the other.
    """
    start, end, padding = (_number(encoder, mark) for mark in (START, END, PADDING))
    encoded = iter(encoder.encode([text for sample in texts for text in sample]))
    found = np.full((len(texts), sequence), padding, dtype=np.int64)
    for row, sample in zip(found, texts, strict=True):
        most = (sequence - 1) // len(sample) - 1
        pieces = [np.array([start])]
        for _ in sample:
            pieces += [next(encoded)[:most], np.array([end])]
        joined = np.concatenate(pieces)
        row[: len(joined)] = joined
    return found
