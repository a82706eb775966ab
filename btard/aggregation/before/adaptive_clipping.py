"""Adaptive robust clipping: the longest rows are made as long as others (Allouah, Guerraoui, Gupta, Jellouli, Rizk,
Stephan, arXiv 2405.14432)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from btard.aggregation.before.pre_aggregator import PreAggregator
from btard.aggregation.before.shortened import shortened
from btard.aggregation.distance.nearest import distance_bounds, settle
from btard.aggregation.rows import Rows, formed_rows


@dataclass(frozen=True)
class AdaptiveClipping(PreAggregator):
    """Cuts the k = floor(2 f (n - f) / n) longest rows down to the length of the next one; n >= 2f + 1."""

    one_to_one = True

    @torch.no_grad()
    def prepared(self, rows: Rows, *, n_byzantine: int) -> Sequence[torch.Tensor]:
        """Return the n rows, the longest of them cut down."""
        formed = formed_rows(rows)
        n, f = len(formed), n_byzantine
        refusal = self.check(n, f)
        if refusal:
            raise ValueError(refusal)
        clipped = 2 * f * (n - f) // n
        low, high = distance_bounds(formed, None)
        # What may be among the longest, or the next one, is measured exactly; all others are shorter.
        settle(formed, None, np.flatnonzero(high >= np.sort(low)[n - clipped - 1]).tolist(), low, high)
        lengths = np.sqrt(low)
        return shortened(formed, lengths, float(np.sort(lengths)[n - clipped - 1]))

    def check(self, n: int, f: int) -> str | None:
        """Refuse too few rows."""
        return None if n > 2 * f else f"adaptive clipping needs {2 * f + 1} rows where {f} may lie, and there are {n}"
