"""How many transformer blocks each stage holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from typing import Self

from btard.errors import UserError

MAX_STAGES = 1024
MAX_BLOCKS = 4096


@dataclass(frozen=True, slots=True)
class Split:
    """The blocks of a model in a row of stages.

    Attributes:
        blocks: how many each stage holds, first stage first; each at least one.

    Raises:
        UserError: a stage has no block, or there are too many stages or blocks.
    """

    blocks: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.blocks) <= MAX_STAGES or min(self.blocks) < 1 or sum(self.blocks) > MAX_BLOCKS:
            raise UserError(
                f"a split needs 1 to {MAX_STAGES} stages of at least one block, {MAX_BLOCKS} blocks at most; "
                f"{len(self.blocks)} stages with {sum(self.blocks)} blocks is not one"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a split such as `2-3-1`.

        Raises:
            UserError: the text is none.
        """
        words = text.split("-")
        if not all(word.isascii() and word.isdigit() and len(word) < 6 for word in words):
            raise UserError(f"a split is written as 2-3-1, the blocks of each stage, not {text!r}")
        return cls(tuple(map(int, words)))

    @classmethod
    def even(cls, blocks: int, stages: int) -> Self:
        """Return the split whose stages differ by one block at most, the earlier ones the larger.

        Raises:
            UserError: there are more stages than blocks.
        """
        _check_enough(blocks, stages)
        return cls(tuple(blocks // stages + (stage < blocks % stages) for stage in range(stages)))

    @classmethod
    def by_cost(cls, costs: Sequence[float], stages: int, *, first: float = 0.0, last: float = 0.0) -> Self:
        """Return the split whose slowest stage is the fastest; of several such, the one with the shortest early stages.

        Args:
            costs: of each block, in any unit.
            stages: how many are wanted.
            first: what the embeddings cost beside the first stage's blocks.
            last: what the head costs beside the last stage's blocks.

        Raises:
            UserError: there are more stages than blocks.
        """
        _check_enough(len(costs), stages)
        before = [0.0, *accumulate(costs)]
        # slowest[k]: of the best split of the first k blocks among the stages so far, with that split.
        impossible: tuple[float, tuple[int, ...]] = (inf, ())
        slowest = [(0.0, impossible[1])] + [impossible] * len(costs)
        for stage in range(stages):
            extra = (first if stage == 0 else 0.0) + (last if stage == stages - 1 else 0.0)
            slowest = [
                min(
                    (
                        (max(slowest[start][0], before[end] - before[start] + extra), (*slowest[start][1], end - start))
                        for start in range(end)
                        if len(slowest[start][1]) == stage
                    ),
                    default=impossible,
                )
                for end in range(len(costs) + 1)
            ]
        return cls(slowest[-1][1])

    @property
    def stages(self) -> int:
        """How many stages there are."""
        return len(self.blocks)

    def span(self, stage: int) -> range:
        """Return the numbers of a stage's blocks, from 0."""
        start = sum(self.blocks[:stage])
        return range(start, start + self.blocks[stage])

    def __str__(self) -> str:
        return "-".join(map(str, self.blocks))


def _check_enough(blocks: int, stages: int) -> None:
    if not 1 <= stages <= blocks:
        raise UserError(f"a model of {blocks} blocks has 1 to {blocks} stages, not {stages}")
