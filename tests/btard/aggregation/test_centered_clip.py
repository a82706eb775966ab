import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from btard.aggregation import BadRow, centered_clip, finite_rows
from tests.btard.aggregation import textbook

FLOAT32_MAX = float(torch.finfo(torch.float32).max)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def spread_of(rows: torch.Tensor) -> float:
    """The median distance from the coordinate-wise median: the natural unit of tau."""
    wide = rows.double()
    return float(torch.linalg.vector_norm(wide - wide.median(dim=0).values, dim=1).median())


@st.composite
def ordinary_rows(draw: st.DrawFn) -> torch.Tensor:
    """Honest rows with a common offset, some of them equal, some of them zero, and fewer than half hostile."""
    n = draw(st.integers(1, 64))
    d = draw(st.one_of(st.integers(1, 40), st.integers(41, 3000), st.sampled_from([4095, 4096, 4097, 70_001])))
    d = min(d, 400_000 // n)
    seed = draw(st.integers(0, 2**32 - 1))
    rows = normal(n, d, seed=seed) * draw(st.sampled_from([1e-30, 1e-12, 1e-3, 1.0, 1e4, 1e15]))
    rows += normal(d, seed=seed + 1) * draw(st.sampled_from([0.0, 1.0, 1000.0])) * rows.abs().max()
    shape = draw(st.sampled_from(["all different", "half equal", "few distinct", "some zero", "hostile", "hostile"]))
    hostile = draw(st.integers(0, max(0, (n - 1) // 2)))
    if shape == "half equal":
        rows[: (n + 1) // 2] = rows[0].clone()
    elif shape == "few distinct":
        rows = rows[torch.arange(n) % 3 % n].clone()
    elif shape == "some zero":
        rows[: n // 3] = 0
    elif shape == "hostile":
        reach = draw(st.sampled_from([1.0, 1e3, 1e6, 1e12, 1e20, 1e30]))
        together = draw(st.booleans())
        direction = normal(d, seed=seed + 2) if together else normal(hostile, d, seed=seed + 2)
        rows[:hostile] = (direction.double() * reach * (rows.abs().max() + 1e-30)).clamp(-1e38, 1e38).float()
    return rows[torch.randperm(n, generator=torch.Generator().manual_seed(seed))]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(ordinary_rows(), st.floats(-4, 4), st.booleans(), st.integers(0, 1000))
def test_reaches_the_fixed_point(rows: torch.Tensor, log_tau: float, weighted: bool, seed: int) -> None:
    tau = (spread_of(rows) or 1.0) * 10**log_tau
    weights = torch.rand(len(rows), generator=torch.Generator().manual_seed(seed)).double() + 0.1 if weighted else None
    result = centered_clip(rows, tau=tau, weights=weights)
    true = textbook.relative_residual(rows, result.value, tau, weights)
    floor = textbook.rounding_floor(rows, result.value, tau, weights)
    assert true <= max(1e-6, 1.5 * floor)
    assert true <= result.residual * 1.001 + 1e-7
    assert result.residual <= max(1e-6, 3 * floor)
