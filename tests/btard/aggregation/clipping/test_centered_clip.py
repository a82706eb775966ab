import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from btard.aggregation import BadRow, centered_clip, finite_rows
from btard.aggregation.clipping.centered_clip import _first_view
from btard.aggregation.rows import formed_rows
from tests.btard.aggregation import textbook
from tests.quick import stride

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


@settings(max_examples=100, derandomize=True)
@given(ordinary_rows(), st.floats(-4, 4), st.booleans(), st.integers(0, 1000))
def test_reaches_the_fixed_point(rows: torch.Tensor, log_tau: float, weighted: bool, seed: int) -> None:
    tau = (spread_of(rows) or 1.0) * 10**log_tau
    weights = torch.rand(len(rows), generator=torch.Generator().manual_seed(seed)).double() + 0.1 if weighted else None
    result = centered_clip(rows, tau=tau, weights=weights)
    true = textbook.relative_residual(rows, result.value, tau, weights)
    floor = textbook.rounding_floor(rows, result.value, tau, weights)
    assert true <= max(1e-6, 1.5 * floor)
    assert true <= result.residual * 1.001 + 1e-7
    assert result.residual <= max(1e-6, 20 * floor)


@pytest.mark.parametrize("n", [1, 3, 5, 16, 33])
@pytest.mark.parametrize("relative_tau", [0.3, 1.0, 3.0])
def test_equals_the_published_step_run_to_convergence(n: int, relative_tau: float) -> None:
    rows = normal(n, 50, seed=n)
    rows[: (n - 1) // 2] *= -10
    tau = relative_tau * math.sqrt(50)
    expected = textbook.paper_step(rows, tau)
    difference = (centered_clip(rows, tau=tau).value.double() - expected).norm()
    # A relative residual of 1e-6 leaves the solution uncertain by that share of the distances, over the curvature.
    assert difference <= 2e-5 * min(tau, math.sqrt(50))


@pytest.mark.parametrize(("n", "d"), [(16, 1_000_000), (64, 100_001)])
def test_long_rows_reach_the_fixed_point(n: int, d: int) -> None:
    rows = normal(n, d)
    rows[: n // 2 - 1] = 100 * normal(d, seed=1)
    tau = 0.3 * math.sqrt(d)
    result = centered_clip(rows, tau=tau)
    assert textbook.relative_residual(rows, result.value, tau) <= result.residual + 1e-8 <= 1e-6
    assert result.n_clipped == n


def test_rows_of_signs_reach_the_fixed_point() -> None:
    """Sums of equal terms round in one direction, the worst case for sums in float32."""
    rows = 0.1234 * normal(32, 50_000).sign()
    rows[:9] = 1e15 * 0.777
    for tau in (1.0, 20.0):
        result = centered_clip(rows, tau=tau)
        assert textbook.relative_residual(rows, result.value, tau) <= result.residual + 1e-7 <= 1.1e-6


@pytest.mark.parametrize("seed", range(5))
def test_one_dimension_with_hostile_rows_far_beyond_tau(seed: int) -> None:
    rows = 1e-30 * normal(51, 1, seed=seed)
    rows[:4] = 1e-10 * normal(4, 1, seed=seed + 1)
    assert centered_clip(rows, tau=1e-35).value.item() == rows.median().item()


def test_one_row_is_its_own_aggregate() -> None:
    row = normal(1, 1000) * 1e20
    result = centered_clip(row, tau=1e-6)
    assert torch.equal(result.value, row[0])
    assert (result.residual, result.n_clipped) == (0.0, 0)


@pytest.mark.parametrize("value", [0.0, 1.0, -3e-39, FLOAT32_MAX])
def test_equal_rows_are_their_own_aggregate(value: float) -> None:
    rows = torch.full((9, 77), value)
    result = centered_clip(rows, tau=1e-3)
    assert torch.equal(result.value, rows[0])
    assert result.residual == 0.0


def test_a_huge_radius_gives_the_weighted_mean() -> None:
    rows, weights = normal(12, 999), torch.arange(12).double()
    expected = (rows.double() * weights[:, None]).sum(0) / weights.sum()
    for tau in (1e9, math.inf):
        result = centered_clip(rows, tau=tau, weights=weights)
        torch.testing.assert_close(result.value.double(), expected, rtol=0, atol=3e-7)
        assert result.n_clipped == 0


def test_a_tiny_radius_with_half_the_rows_equal_lands_on_them() -> None:
    rows = normal(16, 300)
    rows[:9] = rows[0].clone()
    value = centered_clip(rows, tau=1e-5).value
    # Nine rows outvote seven: the rest can pull no farther than 7/9 of tau.
    assert (value - rows[0]).norm() <= 1e-5


def test_one_dimension_with_a_tiny_radius_is_the_median() -> None:
    rows = torch.tensor([[5.0], [-1e30], [7.0], [6.0], [1e30]])
    assert centered_clip(rows, tau=1e-6).value.item() == 6.0


def test_rows_that_differ_by_a_thousandth_stay_accurate() -> None:
    offset, noise = 8 * normal(20_000), 1e-3 * normal(16, 20_000, seed=1)
    rows = offset + noise
    exact = textbook.paper_step(rows, 0.1)
    error = (centered_clip(rows, tau=0.1).value.double() - exact).abs().max()
    # Half a unit in the last place of a float32 near 32 is 1.9e-6, and no float32 result can do better.
    assert error <= 2.5e-6


@pytest.mark.parametrize("size", [1e4, 1e6, 1e12, 1e19, 1e30, FLOAT32_MAX])
def test_a_huge_row_pulls_by_tau_in_its_direction_and_no_farther(size: float) -> None:
    d, tau = 5000, 20.0
    rows = normal(16, d)
    direction = normal(d, seed=5)
    rows[3] = (direction.double() / direction.abs().max() * size).float()
    honest = torch.cat([rows[:3], rows[4:]]).double()
    result = centered_clip(rows, tau=tau)
    # The exact solution sees the row only as a push of length tau along its direction.
    push = tau * rows[3].double() / rows[3].double().norm()
    v = honest.mean(0)
    for _ in range(60):
        weight = (tau / (honest - v).norm(dim=1)).clamp(max=1)
        v = ((honest * weight[:, None]).sum(0) + push) / weight.sum()
    reached = 1e-5 + 2 * float(v.norm()) / size
    assert float((result.value.double() - v).norm()) <= reached * float(honest[0].norm())


@settings(max_examples=30, derandomize=True)
@given(st.integers(3, 40), st.integers(1, 2000), st.floats(0, 37), st.integers(0, 2**32 - 1))
def test_one_row_cannot_move_the_result_far(n: int, d: int, log_size: float, seed: int) -> None:
    rows = normal(n, d, seed=seed)
    tau = 2 * float(rows.norm(dim=1).max())
    before = centered_clip(rows, tau=tau).value
    rows[seed % n] = normal(d, seed=seed + 1) * 10**log_size
    after = centered_clip(rows, tau=tau).value
    # Nobody else is clipped, so n - 1 rows of weight one stand against a push of at most tau (and the lost row's).
    assert float((after - before).norm()) <= 2 * tau / (n - 1) * 1.001


@pytest.mark.parametrize("position", [0, 7, 15])
def test_a_row_that_hides_its_size_from_a_sample_of_columns(position: int) -> None:
    rows = normal(16, 100_000)
    hidden = torch.zeros(100_000)
    hidden[12_345] = 1e30
    rows[position] = hidden
    result = centered_clip(rows, tau=100.0)
    assert textbook.relative_residual(rows, result.value, 100.0) <= 1e-6
    assert result.residual <= 1e-6


def test_hostile_rows_at_every_scale_at_once() -> None:
    rows = normal(16, 10_000)
    for index, size in enumerate([1e4, 1e8, 1e12, 1e16, 1e24, 1e30, 1e34]):
        rows[index] = size * normal(10_000, seed=index + 1)
    for tau in (1e-3, 10.0, 1000.0):
        result = centered_clip(rows, tau=tau)
        assert textbook.relative_residual(rows, result.value, tau) <= 1e-6
        assert result.value.norm() <= 3 * rows[8].norm() + 3 * tau


def test_a_row_of_weight_zero_counts_for_nothing() -> None:
    rows = normal(6, 500)
    weights = torch.tensor([0.0, 1.0, 2.0, 1.0, 1.0, 3.0])
    without = centered_clip(rows[1:], tau=10.0, weights=weights[1:]).value
    rows[0] *= 1e12
    torch.testing.assert_close(centered_clip(rows, tau=10.0, weights=weights).value, without, rtol=0, atol=2e-6)


def test_a_weight_of_two_is_a_row_twice() -> None:
    rows = normal(5, 500)
    doubled = centered_clip(torch.cat([rows, rows[:1]]), tau=10.0).value
    weighted = centered_clip(rows, tau=10.0, weights=[2.0, 1.0, 1.0, 1.0, 1.0]).value
    torch.testing.assert_close(weighted, doubled, rtol=0, atol=2e-6)


@settings(max_examples=15, derandomize=True)
@given(ordinary_rows())
def test_storage_of_rows_does_not_change_the_bytes_of_the_result(rows: torch.Tensor) -> None:
    tau = spread_of(rows) or 1.0
    first = centered_clip(rows, tau=tau)
    # Odd offsets into larger buffers: neither alignment nor contiguity may show in the bytes.
    apart = [torch.cat([torch.zeros(index % 5 + 1), row])[index % 5 + 1 :] for index, row in enumerate(rows)]
    for again in (rows, rows.T.contiguous().T, apart, rows.numpy(), [row.numpy() for row in rows]):
        other = centered_clip(again, tau=tau)
        assert other.value.numpy().tobytes() == first.value.numpy().tobytes()
        assert (other.residual, other.iterations, other.n_clipped) == (
            first.residual,
            first.iterations,
            first.n_clipped,
        )


def test_the_number_of_threads_does_not_show_in_the_bytes() -> None:
    rows = normal(16, 150_001)
    before = torch.get_num_threads()
    seen = set()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            seen.add(centered_clip(rows, tau=100.0).value.numpy().tobytes())
    finally:
        torch.set_num_threads(before)
    assert len(seen) == 1


@settings(max_examples=15, derandomize=True)
@given(st.integers(2, 64), st.integers(1, 3000), st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_changes_only_the_last_bits(n: int, d: int, seed: int) -> None:
    rows = normal(n, d, seed=seed)
    tau = 0.7 * math.sqrt(d)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    difference = centered_clip(rows, tau=tau).value - centered_clip(rows[order], tau=tau).value
    assert float(difference.norm()) <= 1e-5 * math.sqrt(d)


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", [0, 4096, 9999])
def test_a_row_that_is_not_finite_is_refused_by_its_index(poison: float, column: int) -> None:
    rows = normal(8, 10_000)
    rows[5, column] = poison
    with pytest.raises(BadRow, match="row 5 ") as refusal:
        centered_clip(rows, tau=1.0)
    assert refusal.value.index == 5
    assert finite_rows(rows) == [True] * 5 + [False] + [True] * 2
    assert finite_rows(list(rows)) == finite_rows(rows.numpy()) == finite_rows(rows)


def test_rows_without_a_number_are_finite() -> None:
    assert finite_rows(torch.zeros(3, 0)) == finite_rows([torch.zeros(0)] * 3) == [True] * 3


def test_the_largest_float32_is_finite() -> None:
    rows = torch.tensor([[FLOAT32_MAX, -FLOAT32_MAX], [-FLOAT32_MAX, FLOAT32_MAX], [1.0, 1.0], [1.0, 1.5], [1.0, 0.5]])
    assert finite_rows(rows) == [True] * 5
    assert centered_clip(rows, tau=1e39).value.isfinite().all()
    torch.testing.assert_close(centered_clip(rows, tau=1.0).value, rows[2], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(7),
        torch.zeros(8, 1),
        torch.zeros(8, dtype=torch.float64),
        torch.zeros(8, dtype=torch.int32),
        torch.zeros(8, dtype=torch.float16),
        np.zeros(8),
        None,
        [0.0] * 8,
    ],
    ids=["short", "two-dimensional", "float64", "int32", "float16", "numpy float64", "none", "list"],
)
def test_a_row_of_the_wrong_form_is_refused_by_its_index(wrong: object) -> None:
    with pytest.raises(BadRow, match="row 1 ") as refusal:
        centered_clip([torch.zeros(8), wrong, torch.zeros(8)], tau=1.0)  # type: ignore[list-item]
    assert refusal.value.index == 1


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (5,), (2, 3, 4)])
def test_rows_of_the_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="row"):
        centered_clip(torch.zeros(shape), tau=1.0)


@pytest.mark.parametrize("tau", [0.0, -1.0, math.nan, -math.inf])
def test_a_radius_that_is_not_above_zero_is_refused(tau: float) -> None:
    with pytest.raises(ValueError, match="tau"):
        centered_clip(normal(3, 3), tau=tau)


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_a_weight_that_cannot_be_used_is_refused_by_its_index(weight: float) -> None:
    with pytest.raises(BadRow, match="row 2 ") as refusal:
        centered_clip(normal(3, 3), tau=1.0, weights=[1.0, 1.0, weight])
    assert refusal.value.index == 2


@pytest.mark.parametrize("weights", [[1.0, 1.0], [0.0, 0.0, 0.0]])
def test_weights_that_say_nothing_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        centered_clip(normal(3, 3), tau=1.0, weights=weights)


def test_an_exhausted_budget_of_iterations_is_reported_honestly() -> None:
    rows = normal(16, 1000)
    rows[:7] = 1000 * normal(1000, seed=1)
    result = centered_clip(rows, tau=1.0, max_iterations=0)
    true = textbook.relative_residual(rows, result.value, 1.0)
    assert 1e-3 < true <= result.residual + 1e-6


@pytest.mark.parametrize("size", [3, 16, 256])
@pytest.mark.parametrize("noise, far, spread", [(0.01, 3.0, 0.3), (0.1, 3.0, 0.3), (0.1, 30.0, 0.3), (1.0, 30.0, 0.3)])
def test_between_two_far_crowds_the_fixed_point_is_found(size: int, noise: float, far: float, spread: float) -> None:
    """The loss is all but flat between them, and an owner that stops there is accused of a wrong sum."""
    for seed in range(0, 12, stride(4)):
        generator = torch.Generator().manual_seed(seed)
        away = torch.randn(size, generator=generator)
        away /= away.norm()
        near = torch.randn(3, size, generator=generator) * noise / size**0.5
        crowd = torch.stack([away * far * (1 + spread * torch.rand(1, generator=generator)) for _ in range(3)])
        assert centered_clip(torch.cat([near, crowd]), tau=0.8165).residual <= 1.1e-6


@pytest.mark.parametrize("size", [1e3, 1e8, 1e30])
def test_a_row_that_fools_the_sample_is_no_origin(size: float) -> None:
    rows = normal(16, 100_000)
    # Zero wherever the sample looks, and nearest to all others there; its length is in one coordinate elsewhere.
    rows[3] = 0
    rows[3, 12_345] = size * 100
    shifted, gram = _first_view(formed_rows(rows))
    assert np.median(gram.diagonal() * shifted.scale**2) <= 4 * 100_000
    assert shifted.plain == (size < 1e30)
