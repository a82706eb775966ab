"""Bucketing: means of random groups of rows (Karimireddy, He, Jaggi, ICLR 2022, arXiv 2006.09365)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Self

import torch
from pydantic import Field

from btard.aggregation.averages import mean_of
from btard.aggregation.before.pre_aggregator import PreAggregator
from btard.aggregation.draws import seed_at, shuffled
from btard.aggregation.rows import Rows, check_rows


@dataclass(frozen=True)
class Bucketing(PreAggregator):
    """Draws an order of the rows and puts the mean of every `size` that follow each other in their place, of fewer at
    the end. Each liar spoils one bucket.

    In a swarm the order does not change from step to step, and attackers can know it.

    Attributes:
        size: rows in a bucket.
        seed: of the order.
    """

    size: Annotated[int, Field(ge=1)] = 2
    seed: Annotated[int, Field(ge=0)] = 0

    @torch.no_grad()
    def prepared(self, rows: Rows, *, n_byzantine: int) -> Sequence[torch.Tensor]:
        """Return ceil(n / size) means."""
        checked = check_rows(rows)
        order = shuffled(self.seed, len(checked)).tolist()
        return [mean_of(checked, order[start : start + self.size]) for start in range(0, len(order), self.size)]

    def remaining(self, n: int, f: int) -> tuple[int, int]:
        """Return the number of buckets, each of which one liar spoils."""
        return -(-n // self.size), f

    def at(self, step: int, seed: int = 0) -> Self:
        """Return the same buckets with another order."""
        return replace(self, seed=seed_at(self.seed, seed, step))
