"""What tasks share that name the class of a text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from btard.tasks.base import Batch, Task


class ClassesTask(Task):
    """A task whose batches hold `input_ids` and `attention_mask`, int64, (samples, sequence), and `labels`, (samples,).

    Attributes:
        classes: how many there are.
        vocabulary_size: how many tokens there are.
    """

    classes: int
    vocabulary_size: int

    @abstractmethod
    def evaluation_batches(self) -> Iterable[Batch]:
        """Return the held-out samples, as many at a time as fit into memory beside a model."""
