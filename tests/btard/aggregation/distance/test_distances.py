from __future__ import annotations

import pytest
import torch

from btard.aggregation.distance.distances import measured
from btard.aggregation.distance.ordered import all_squares


@pytest.mark.parametrize("n", [3, 16, 17, 40])
@pytest.mark.parametrize("kind", ["noise", "signs", "ones", "apart"])
def test_distances_are_off_by_no_more_than_stated(n: int, kind: str) -> None:
    """Sums of equal terms round in one direction, the worst case for sums in float32."""
    rows = torch.randn(n, 40_001, generator=torch.Generator().manual_seed(n))
    if kind == "signs":
        rows = 0.1234 * rows.sign()
    elif kind == "ones":
        rows = torch.full_like(rows, 1.1) + 1e-3 * rows
    given = [row.clone() for row in rows] if kind == "apart" else rows
    found = measured(given)
    assert (abs(found.squared - all_squares(found.rows)) <= found.slack).all()
    assert found.slack.max() <= 2e-4 * rows.double().square().sum(1).max()


def test_few_rows_are_measured_more_closely() -> None:
    rows = torch.randn(40, 10_000, generator=torch.Generator().manual_seed(0))
    few, many = (float((found.slack / found.squared.clip(1)).max()) for found in map(measured, (rows[:16], rows)))
    assert few < many / 2
