"""What a pre-aggregator is: it makes rows of rows, among which liars do less."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import torch

from btard.aggregation.rows import Rows


class PreAggregator(ABC):
    """One way to make rows of rows. A subclass is a frozen dataclass whose fields are parameters, as those of a rule;
    what is said there of machines that must agree holds here to the last bit, since a rule may choose among the rows.
    """

    one_to_one: ClassVar[bool] = False
    """Whether each row that is made stands for the given one at its position."""

    @abstractmethod
    def prepared(self, rows: Rows, *, n_byzantine: int) -> Sequence[torch.Tensor]:
        """Make (d,) float32 rows of n finite ones. They may share memory with those, and with one another.

        Raises:
            BadRow, ValueError: as `Rule.aggregate`.
        """

    def remaining(self, n: int, f: int) -> tuple[int, int]:
        """Return how many rows are made of n, and how many of these may be false when f of those may."""
        return n, f

    def check(self, n: int, f: int) -> str | None:
        """Return why no rows can be made of n of which f may lie, or None."""
        return None

    def at(self, step: int, seed: int = 0) -> Self:
        """Return the pre-aggregator with the draws of one step of a run: itself, unless it draws."""
        return self

    def scaled(self, factor: float) -> Self:
        """Return the pre-aggregator for rows that are longer by a factor: itself, unless a parameter is a length."""
        return self
