"""What language-model tasks share: samples from a tokenised corpus, and a held-out part."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from btard.tasks.base import Batch, DataRequest, Schedule, Task
from btard.tasks.data.prepare import TokenisedRequest, prepare
from btard.tasks.data.tokenised import TokenisedCorpus
from btard.tasks.randomness import SeededDraws
from btard.tasks.settings import TaskSettings


@dataclass(frozen=True, slots=True)
class TextShape(ABC):
    """One size of a language-model task.

    Attributes:
        sequence: tokens of a sample, marks included.
        vocabulary: tokens of a tokenizer that is trained from the corpus.
        schedule: the learning-rate schedule when nothing else is asked for.
        evaluation_samples: the most held-out samples that an evaluation uses, spread evenly.
    """

    sequence: int
    vocabulary: int
    schedule: Schedule
    evaluation_samples: int

    @abstractmethod
    def tokenised(self) -> TokenisedRequest:
        """The tokenised form that this size wants."""


class TextTask(Task):
    """A task over a tokenised corpus.

    Attributes:
        shapes: what a size means, by its name; a subclass has its own.
        corpus: the tokenised corpus.
    """

    shapes: ClassVar[Mapping[str, TextShape]]

    def __init__(self, size: str, corpus: TokenisedCorpus, settings: TaskSettings | None = None) -> None:
        shape = self.shapes[size]
        super().__init__(size, corpus.meta.fingerprint, shape.schedule, settings or self.Settings())
        self.corpus = corpus
        self._evaluation_samples: int = shape.evaluation_samples

    @classmethod
    def load(cls, size: str, settings: TaskSettings, data: DataRequest) -> Self:
        """The task with its data, prepared if need be (see `btard.tasks.data.prepare.prepare`)."""
        wanted = cls.shapes[size].tokenised()
        return cls(size, prepare(data.spec, wanted, data.cache_dir, data.progress, data.access), settings)

    @property
    def vocabulary_size(self) -> int:
        """How many tokens there are."""
        return self.corpus.meta.vocabulary_size

    def batch(self, seed: bytes, batch_size: int) -> Batch:
        draws = SeededDraws(seed)
        return self._assemble(draws.integers("samples", batch_size, self.corpus.training_samples), draws)

    def numbered(self, chosen: npt.NDArray[np.int64]) -> Batch:
        """The training samples with these numbers, from 0; what is drawn beside them is the same at every visit.

        Raises:
            ValueError: one of them is no training sample.
        """
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < self.corpus.training_samples:
            raise ValueError(f"there are {self.corpus.training_samples} training samples")
        return self._assemble(chosen, SeededDraws(blake3(b"btard numbered samples" + chosen.tobytes()).digest()))

    def training_count(self) -> int:
        return self.corpus.training_samples

    def evaluation_batch(self) -> Batch:
        return self._evaluation_batch

    @cached_property
    def _evaluation_batch(self) -> Batch:
        meta = self.corpus.meta
        count = min(self._evaluation_samples, meta.held_out)
        chosen = self.corpus.training_samples + np.arange(count, dtype=np.int64) * meta.held_out // count
        return self._assemble(chosen, SeededDraws(blake3(b"btard evaluation").digest()))

    def _assemble(self, chosen: npt.NDArray[np.int64], draws: SeededDraws) -> Batch:
        """The batch of the samples with these numbers; masks and the like come from `draws`."""
        raise NotImplementedError

    def decode(self, tokens: list[int]) -> str:
        """The text of tokens."""
        return str(self.corpus.tokenizer.decode(tokens))
