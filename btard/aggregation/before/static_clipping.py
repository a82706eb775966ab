"""Static clipping: no row is longer than a given length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Self

import numpy as np
import torch
from pydantic import Field

from btard.aggregation.before.pre_aggregator import PreAggregator
from btard.aggregation.before.shortened import shortened
from btard.aggregation.distance.ordered import squares_around
from btard.aggregation.rows import Rows, check_rows


@dataclass(frozen=True)
class StaticClipping(PreAggregator):
    """Multiplies every row x by min(1, norm / ||x||).

    Attributes:
        norm: the most that a row may be long.
    """

    one_to_one = True

    norm: Annotated[float, Field(gt=0)] = 1.0

    @torch.no_grad()
    def prepared(self, rows: Rows, *, n_byzantine: int) -> Sequence[torch.Tensor]:
        """Return the n rows, cut down."""
        checked = check_rows(rows)
        return shortened(checked, np.sqrt(squares_around(checked)), self.norm)

    def scaled(self, factor: float) -> Self:
        """Return it with a length that grows with the parts."""
        return replace(self, norm=self.norm * factor)
