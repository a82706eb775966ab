"""How good a model's answers are: loss and perplexity of text; accuracy, F1 and Matthews correlation of classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from btard.pipeline.stages.model_stage import ModelStage
from btard.tasks.base import IGNORED_LABEL, Batch

_MOST_NATS = 700.0
"""Beyond it e to the loss cannot be written."""


@dataclass(frozen=True)
class HeldOutScores:
    """Of a model on held-out samples.

    Attributes:
        loss: mean over samples, in nats; of text, each sample's is the mean over its tokens.
        accuracy, f1, matthews: of classes; None for text. F1 is that of class 1 where there are two classes, else the
            mean over classes.
    """

    loss: float
    accuracy: float | None = None
    f1: float | None = None
    matthews: float | None = None

    @property
    def perplexity(self) -> float:
        """e to the loss; infinite where that cannot be written."""
        return math.exp(self.loss) if self.loss < _MOST_NATS else math.inf


def held_out_scores(stages: Sequence[ModelStage], batches: Iterable[Batch]) -> HeldOutScores:
    """Return what all stages in a row are worth, none of which lies or rounds."""
    losses: list[torch.Tensor] = []
    said: list[torch.Tensor] = []
    wanted: list[torch.Tensor] = []
    with torch.no_grad():
        for batch in batches:
            hidden = None
            for stage in stages[:-1]:
                hidden = stage(batch, hidden)
            logits, labels = stages[-1].logits(batch, hidden).float(), batch.tensors["labels"]
            if labels.dim() == 2:
                losses.append(sequence_losses(logits, labels))
            else:
                losses.append(functional.cross_entropy(logits, labels, reduction="none"))
                said.append(logits.argmax(1))
                wanted.append(labels)
    loss = float(torch.cat(losses).double().mean())
    if not said:
        return HeldOutScores(loss)
    table = confusion(torch.cat(wanted).numpy(), torch.cat(said).numpy())
    return HeldOutScores(loss, accuracy(table), f1(table), matthews(table))


def sequence_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of each sample's next tokens, float32 of shape (samples,).

    Args:
        logits: (samples, sequence, vocabulary).
        labels: int64, (samples, sequence), `IGNORED_LABEL` where none counts.
    """
    wanted = labels[:, 1:]
    each = functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), wanted, ignore_index=IGNORED_LABEL, reduction="none"
    )
    return each.sum(1) / (wanted != IGNORED_LABEL).sum(1).clamp(min=1)


Confusion = npt.NDArray[np.int64]
"""(classes, classes): how many samples of a class, by row, were taken for a class, by column."""


def confusion(wanted: npt.NDArray[np.int64], said: npt.NDArray[np.int64]) -> Confusion:
    """Count which classes were taken for which; both int64 of shape (samples,)."""
    classes = max(2, int(max(wanted.max(), said.max())) + 1)
    return np.bincount(wanted * classes + said, minlength=classes * classes).reshape(classes, classes)


def accuracy(table: Confusion) -> float:
    """Return the share of right answers."""
    return float(np.trace(table) / table.sum())


def f1(table: Confusion) -> float:
    """Return the harmonic mean of precision and recall: of class 1 among two, else the mean over classes; 0 for a class
    that neither is nor was said."""
    ends = table.sum(0) + table.sum(1)
    each = 2 * np.diag(table) / np.maximum(ends, 1)
    return float(each[1] if len(each) == 2 else each.mean())


def matthews(table: Confusion) -> float:
    """Return the correlation of answers and classes (Gorodkin 2004, for any number of classes); 0 where all answers, or
    all samples, are of one class."""
    samples, right = int(table.sum()), int(np.trace(table))
    said, are = table.sum(0).astype(float), table.sum(1).astype(float)
    spread = (samples**2 - said @ said) * (samples**2 - are @ are)
    return float((right * samples - said @ are) / math.sqrt(spread)) if spread > 0 else 0.0
