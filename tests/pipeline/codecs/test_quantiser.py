"""The quantiser: published errors, levels, scales of any size, both roundings."""

from __future__ import annotations

import pytest
import torch

from btard.identity import Malformed
from btard.pipeline.codecs.quantiser import LevelGrid, NotFinite, Quantiser, ScaleMethod

MOST = torch.finfo(torch.float32).max
PUBLISHED = {1: 0.90, 2: 0.445, 3: 0.217, 4: 0.109, 6: 0.027, 8: 0.0067}


def round_trip(quantiser: Quantiser, values: torch.Tensor, seeds: list[int] | None = None) -> torch.Tensor:
    return quantiser.decode(quantiser.encode(values, seeds), values.shape)


def relative_error(quantiser: Quantiser, values: torch.Tensor) -> float:
    return float((round_trip(quantiser, values) - values).norm() / values.norm())


@pytest.mark.parametrize(("bits", "error"), PUBLISHED.items())
def test_the_legacy_grid_has_the_published_errors(bits: int, error: float) -> None:
    values = torch.randn(1, 192, 400, generator=torch.Generator().manual_seed(0))
    assert relative_error(Quantiser(bits, grid=LevelGrid.LEGACY), values) == pytest.approx(error, rel=0.03)


def test_the_legacy_grid_takes_one_for_seven_eighths() -> None:
    assert float(round_trip(Quantiser(4, grid=LevelGrid.LEGACY), torch.ones(1, 1, 1))) == 0.875


@pytest.mark.parametrize("bits", range(1, 9))
def test_the_outermost_values_and_zero_are_levels(bits: int) -> None:
    values = torch.tensor([[[1.0], [-1.0], [0.0]]])
    decoded = round_trip(Quantiser(bits), values)
    assert decoded[0, :2].flatten().tolist() == [1.0, -1.0]
    assert bits == 1 or float(decoded[0, 2]) == 0.0


@pytest.mark.parametrize("bits", range(2, 9))
def test_no_value_is_off_by_more_than_half_a_step(bits: int) -> None:
    values = torch.randn(2, 50, 30, generator=torch.Generator().manual_seed(1))
    largest = values.abs().amax((0, 1)) * (1 + 2**-7)
    error = (round_trip(Quantiser(bits), values) - values).abs().amax((0, 1))
    assert bool((error <= largest / ((1 << bits) - 2) * 1.0001).all())


@pytest.mark.parametrize("grid", LevelGrid)
@pytest.mark.parametrize("size", [1e-38, 1e-6, 7e4, 1e30, 3.4e38])
def test_values_of_any_size_stay_finite(grid: LevelGrid, size: float) -> None:
    values = torch.tensor([[[1.0, -1.0], [0.5, 0.0]]]) * size
    decoded = round_trip(Quantiser(8, dims=(0, 1, 2), grid=grid), values)
    assert bool(torch.isfinite(decoded).all())
    if grid is LevelGrid.SYMMETRIC and size > 1e-30:
        torch.testing.assert_close(decoded, values, rtol=0.02, atol=size / 100)


@pytest.mark.parametrize("grid", LevelGrid)
@pytest.mark.parametrize("scale", ScaleMethod)
@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("seeds", [None, [5]])
def test_the_largest_numbers_stay_finite(
    bits: int, scale: ScaleMethod, grid: LevelGrid, seeds: list[int] | None
) -> None:
    values = torch.tensor([[[-MOST, MOST], [MOST, 1.0], [0.4 * MOST, -0.0]]])
    decoded = round_trip(Quantiser(bits, scale, grid=grid), values, seeds)
    assert bool(torch.isfinite(decoded).all())
    lowest, highest = decoded[0, :2, 0].tolist()
    without_s = bits == 1 and grid is LevelGrid.LEGACY
    assert lowest < 0 <= highest and (highest > 0 or without_s)


def test_one_bit_tells_a_large_number_from_its_opposite() -> None:
    values = torch.tensor([[[1.0], [-1.0]]]) * 1.5e38
    torch.testing.assert_close(round_trip(Quantiser(1), values), values, rtol=0.01, atol=0)
    torch.testing.assert_close(round_trip(Quantiser(1), 2 * values), values, rtol=0.15, atol=0)


@pytest.mark.parametrize("grid", LevelGrid)
@pytest.mark.parametrize("scale", ScaleMethod)
def test_zeros_of_either_sign_come_back(scale: ScaleMethod, grid: LevelGrid) -> None:
    for dims, shape in (((0, 1), (2, 3, 2)), ((1,), (4, 1, 2, 2)), ((1,), (2, 3, 40))):
        for place in range(4):
            zeros = torch.zeros(shape)
            zeros.view(-1)[place::3] = -0.0
            assert not bool(round_trip(Quantiser(4, scale, dims, grid), zeros).any())


@pytest.mark.parametrize("scale", ScaleMethod)
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_not_sent(scale: ScaleMethod, wrong: float) -> None:
    values = torch.zeros(1, 3, 2)
    values[0, 1, 1] = wrong
    with pytest.raises(NotFinite):
        Quantiser(4, scale).encode(values)


def test_zeros_are_exact() -> None:
    for bits in range(1, 9):
        assert not bool(round_trip(Quantiser(bits), torch.zeros(2, 5, 3), [1, 2]).any())


def test_l2_clips_what_is_rare_and_resolves_the_rest() -> None:
    values = torch.randn(1, 4096, 4, generator=torch.Generator().manual_seed(2))
    assert relative_error(Quantiser(3, ScaleMethod.L2), values) < relative_error(Quantiser(3, ScaleMethod.MAX), values)


@pytest.mark.parametrize("dims", [(0,), (1,), (2,), (0, 2), (0, 1), (0, 1, 2)])
def test_scales_are_shared_over_the_chosen_dimensions(dims: tuple[int, ...]) -> None:
    values = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(3)) * torch.logspace(-2, 2, 7)
    quantiser = Quantiser(8, dims=dims)
    step = values.abs().amax(dims, keepdim=True) * (1 + 2**-7) / 254
    assert bool(((round_trip(quantiser, values) - values).abs() <= 1.001 * step).all())


def test_four_bits_are_eight_times_smaller() -> None:
    shape = (1, 1024, 1600)
    values = torch.randn(shape)
    assert round(4 * values.numel() / len(Quantiser(4).encode(values)), 2) == 7.97


def test_stochastic_rounding_is_right_on_average() -> None:
    values = torch.linspace(-1, 1, 41).repeat(1, 1, 1).expand(1, 20_000, 41)
    quantiser = Quantiser(3, dims=(0, 1, 2))
    mean = round_trip(quantiser, values, [77])[0].double().mean(0)
    # A step is 1/3, so the mean of n draws is off by 1/6/sqrt(n) at most; five of those are never seen.
    assert float((mean - values[0, 0].double()).abs().max()) < 5 / 6 / 20_000**0.5


def test_stochastic_rounding_leaves_levels_alone() -> None:
    values = torch.linspace(-1, 1, 255).repeat(1, 2000, 1)
    levels = round_trip(Quantiser(8, dims=(0, 1, 2)), values)
    assert torch.equal(round_trip(Quantiser(8, dims=(0, 1, 2)), levels, [3]), levels)


def test_a_seed_belongs_to_its_sample_alone() -> None:
    values = torch.randn(1, 90, 800, generator=torch.Generator().manual_seed(4))
    both = values.repeat(2, 1, 1)
    quantiser = Quantiser(2)
    alone = round_trip(quantiser, values, [11])
    assert torch.equal(round_trip(quantiser, both, [5, 11])[1], alone[0])
    assert not torch.equal(round_trip(quantiser, both, [5, 11])[0], alone[0])


def test_seeds_are_as_many_as_samples() -> None:
    with pytest.raises(ValueError, match="3 seeds for 2 samples"):
        Quantiser(4).encode(torch.ones(2, 3, 3), [1, 2, 3])


@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_bytes_of_another_length_are_refused(change: int) -> None:
    data = Quantiser(4).encode(torch.ones(1, 4, 4))
    with pytest.raises(Malformed, match="are expected"):
        Quantiser(4).decode(data[:change] if change < 0 else data + bytes(change), (1, 4, 4))


@pytest.mark.parametrize("scale", [b"\xc0\x7f", b"\x80\x7f", b"\x80\xbf", b"\x00\x80"])
def test_scales_that_no_sender_writes_are_refused(scale: bytes) -> None:
    data = Quantiser(4).encode(torch.ones(1, 4, 1))
    with pytest.raises(Malformed, match="scale"):
        Quantiser(4).decode(scale + data[2:], (1, 4, 1))


def test_a_scale_whose_step_is_infinite_is_refused() -> None:
    data = Quantiser(1).encode(torch.ones(1, 4, 1))
    with pytest.raises(Malformed, match="too large"):
        Quantiser(1).decode(b"\x7f\x7f" + data[2:], (1, 4, 1))


def test_a_code_that_is_no_level_is_refused() -> None:
    data = Quantiser(4).encode(torch.ones(1, 64, 1))
    with pytest.raises(Malformed, match="no level"):
        Quantiser(4).decode(data[:2] + b"\xff" * (len(data) - 2), (1, 64, 1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("seeds", [None, [1, 2]])
def test_a_gpu_writes_the_same_bytes(seeds: list[int] | None) -> None:
    values = torch.randn(2, 300, 170, generator=torch.Generator().manual_seed(5))
    for bits in range(1, 9):
        assert Quantiser(bits).encode(values.cuda(), seeds) == Quantiser(bits).encode(values, seeds)
