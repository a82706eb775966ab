"""The way of short rows to the fixed point of CenteredClip: the same point as the long way, or no answer at all."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import torch

from btard.aggregation import centered_clip, finite_rows
from btard.aggregation.clipping.short_rows import MOST_NUMBERS, solve_short

long_way = import_module("btard.aggregation.clipping.centered_clip")


def rows_with_liars(n: int, d: int, liars: int, lie: float, seed: int = 0) -> torch.Tensor:
    rows = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    rows[:liars] *= lie
    return rows


@pytest.mark.parametrize(("n", "d"), [(1, 3), (5, 1), (16, 4), (16, 256), (64, 64), (256, 16)])
@pytest.mark.parametrize("lie", [1.0, -1000.0, 1e20])
@pytest.mark.parametrize("tau", [0.1, 2.0, 100.0])
def test_both_ways_lead_to_the_same_point(
    n: int, d: int, lie: float, tau: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_with_liars(n, d, (n - 1) // 2, lie, seed=n * d)
    short = centered_clip(rows, tau=tau)
    monkeypatch.setattr(long_way, "MOST_NUMBERS", 0)
    long = centered_clip(rows, tau=tau)
    assert short.residual <= max(1e-6, 2 * long.residual)
    distance = float(torch.linalg.vector_norm(short.value - long.value))
    assert distance <= 1e-4 * min(tau, float(torch.linalg.vector_norm(rows[-1])) + 1e-3)


def test_the_residual_is_that_of_the_bytes_that_are_returned() -> None:
    rows = rows_with_liars(16, 8, 7, -1000.0)
    result = centered_clip(rows, tau=0.5)
    difference = rows.double() - result.value.double()
    distance = torch.linalg.vector_norm(difference, dim=1)
    factors = (0.5 / distance).clamp(max=1.0)
    residual = torch.linalg.vector_norm(factors @ difference) / (factors @ distance)
    assert float(residual) == pytest.approx(result.residual, rel=1e-6)
    assert result.n_clipped == int((distance > 0.5).sum())


def test_no_answer_is_given_before_the_point_is_reached() -> None:
    rows = rows_with_liars(16, 8, 7, -1000.0)
    assert solve_short(rows, tau=0.5, weights=np.ones(16), tol=1e-6, most_steps=0) is None
    assert solve_short(rows, tau=0.5, weights=np.ones(16), tol=1e-6, most_steps=40) is not None


def test_rows_that_count_for_nothing_do_not_move_the_point() -> None:
    rows = rows_with_liars(12, 6, 4, 1e30)
    weights = np.array([0.0] * 4 + [1.0] * 8)
    assert torch.allclose(centered_clip(rows, tau=1.0, weights=weights).value, centered_clip(rows[4:], tau=1.0).value)


def test_the_largest_numbers_are_no_obstacle() -> None:
    rows = torch.full((8, 4), 3e38) * torch.tensor([1.0, -1.0] * 4)[:, None]
    assert torch.isfinite(centered_clip(rows, tau=1.0).value).all()


def test_blocks_and_separate_rows_are_judged_alike() -> None:
    rows = torch.randn(5, 7)
    rows[1, 3], rows[4, 0] = float("nan"), float("-inf")
    assert finite_rows(rows) == finite_rows(list(rows)) == finite_rows(rows.numpy()) == [True, False, True, True, False]
    wide = torch.zeros(2, MOST_NUMBERS)
    wide[1, -1] = float("inf")
    assert finite_rows(wide) == [True, False]
