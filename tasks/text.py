"""What language-model tasks share: samples from a tokenised corpus, and a held-out part."""

from functools import cached_property

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from btard.tasks.base import Batch, Schedule, Task
from btard.tasks.data.tokenised import TokenisedCorpus
from btard.tasks.randomness import SeededDraws


class TextTask(Task):
    """A task over a tokenised corpus.

    Attributes:
        corpus: the tokenised corpus.
    """

    def __init__(self, size: str, corpus: TokenisedCorpus, schedule: Schedule, evaluation_samples: int) -> None:
        """`evaluation_samples`: the most held-out samples that an evaluation uses, spread evenly."""
        self.size = size
        self.corpus = corpus
        self.schedule = schedule
        self.fingerprint = corpus.meta.fingerprint
        self._evaluation_samples = evaluation_samples

    def batch(self, seed: bytes, batch_size: int) -> Batch:
        draws = SeededDraws(seed)
        return self._assemble(draws.integers("samples", batch_size, self.corpus.training_samples), draws)

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
