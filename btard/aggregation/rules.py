"""The aggregation rules by name: n rows in, one row out."""

from dataclasses import dataclass
from typing import Protocol

import torch

from btard.aggregation.centered_clip import centered_clip
from btard.aggregation.rows import Rows, check_rows
from btard.errors import UserError
from btard.vocabulary import RuleName

# The float64 sums of this many columns stay in cache while the rows are added to them.
_MEAN_COLUMNS = 65536


@dataclass(frozen=True)
class AggregationResult:
    """`value`: (d,) float32. `residual`: how far the value is from satisfying the rule's own equation, relative; 0 for
    a rule in closed form."""

    value: torch.Tensor
    residual: float


class AggregationRule(Protocol):
    """One way to make one row of many. The same rows in the same order give the same bytes."""

    def aggregate(self, rows: Rows, *, tau: float) -> AggregationResult:
        """Aggregate (n, d) float32, or n rows of shape (d,).

        tau is the clipping radius in the unit of the rows, above zero; a rule without a radius ignores it. Raises
        BadRow for a row that cannot be used and ValueError for everything else that is malformed.
        """
        ...


class Mean:
    """The arithmetic mean, summed in float64. It tolerates no Byzantine row: a baseline."""

    @torch.no_grad()
    def aggregate(self, rows: Rows, *, tau: float) -> AggregationResult:
        checked = check_rows(rows)
        value = torch.empty(checked.dimension)
        for start in range(0, checked.dimension, _MEAN_COLUMNS):
            stop = min(start + _MEAN_COLUMNS, checked.dimension)
            total = torch.zeros(stop - start, dtype=torch.float64)
            for row in checked.rows:
                total += row[start:stop]
            value[start:stop] = total / len(checked.rows)
        return AggregationResult(value, 0.0)


class CenteredClip:
    """CenteredClip at its fixed point, see `btard.aggregation.centered_clip`."""

    def aggregate(self, rows: Rows, *, tau: float) -> AggregationResult:
        result = centered_clip(rows, tau=tau)
        return AggregationResult(result.value, result.residual)


_RULES: dict[RuleName, AggregationRule] = {RuleName.MEAN: Mean(), RuleName.CENTERED_CLIP: CenteredClip()}


def get_rule(name: str) -> AggregationRule:
    """The rule of that name. Raises UserError, which lists the known names, for any other."""
    try:
        return _RULES[RuleName(name)]
    except ValueError:
        known = ", ".join(sorted(RuleName))
        raise UserError(f"unknown aggregation rule '{name}'; the known ones are: {known}") from None
