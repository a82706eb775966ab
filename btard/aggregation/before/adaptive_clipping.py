"""Adaptive robust clipping: the longest rows are made as long as others (Allouah, Guerraoui, Gupta, Jellouli, Rizk,
Stephan, arXiv 2405.14432)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from btard.aggregation.before.pre_aggregator import PreAggregator
from btard.aggregation.before.shortened import shortened
from btard.aggregation.distance.ordered import squares_around
from btard.aggregation.rows import Rows, check_rows


@dataclass(frozen=True)
class AdaptiveClipping(PreAggregator):
    """Cuts the k = floor(2 f (n - f) / n) longest rows down to the length of the next one; n >= 2f + 1."""

    one_to_one = True

    @torch.no_grad()
    def prepared(self, rows: Rows, *, n_byzantine: int) -> Sequence[torch.Tensor]:
        """Return the n rows, the longest of them cut down."""
        checked = check_rows(rows)
        n, f = len(checked), n_byzantine
        refusal = self.check(n, f)
        if refusal:
            raise ValueError(refusal)
        lengths = np.sqrt(squares_around(checked))
        clipped = 2 * f * (n - f) // n
        return shortened(checked, lengths, float(np.sort(lengths)[n - clipped - 1]))

    def check(self, n: int, f: int) -> str | None:
        """Refuse too few rows."""
        return None if n > 2 * f else f"adaptive clipping needs {2 * f + 1} rows where {f} may lie, and there are {n}"
