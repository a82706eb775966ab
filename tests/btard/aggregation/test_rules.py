"""What every installed rule keeps to, and what each of ours computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from btard.aggregation import BadRow, CenteredClip, centered_clip, make_rule
from btard.aggregation.coordinate.coordinate_median import CoordinateMedian
from btard.aggregation.coordinate.mean import Mean
from btard.aggregation.coordinate.trimmed_mean import TrimmedMean
from btard.configuration.rule import RULES

LARGEST = torch.finfo(torch.float32).max


def rows_of(n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


def test_our_rules_are_installed() -> None:
    assert set(RULES.names()) >= {"centered_clip", "coordinate_median", "mean", "trimmed_mean"}


@pytest.mark.parametrize("name", RULES.names())
def test_every_rule_refuses_bad_rows(name: str) -> None:
    rule = make_rule(name)
    rows = rows_of(5, 100)
    for column, poison in ((0, float("nan")), (99, float("inf"))):
        bad = rows.clone()
        bad[3, column] = poison
        with pytest.raises(BadRow) as refusal:
            rule.aggregate(bad, n_byzantine=1)
        assert refusal.value.index == 3
    with pytest.raises(BadRow) as refusal:
        rule.aggregate([rows[0], rows[1], rows[2, :50]], n_byzantine=1)
    assert refusal.value.index == 2
    with pytest.raises(ValueError, match="no rows"):
        rule.aggregate([], n_byzantine=0)


@pytest.mark.parametrize("name", RULES.names())
def test_every_rule_gives_equal_bytes_for_equal_rows(name: str) -> None:
    rows, rule = rows_of(7, 100_003), make_rule(name).scaled(1e4)
    first = rule.aggregate(rows, n_byzantine=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        again = rule.aggregate([row.clone() for row in rows], n_byzantine=1)
    finally:
        torch.set_num_threads(threads)
    assert first.value.dtype == torch.float32
    assert first.value.numpy().tobytes() == again.value.numpy().tobytes()


@pytest.mark.parametrize("name", RULES.names())
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_every_rule_stays_finite_on_whatever_finite_rows(name: str, n: int) -> None:
    rule = make_rule(name)
    for rows in (
        torch.zeros(n, 3),
        torch.full((n, 1), LARGEST),
        torch.tensor([[LARGEST, -LARGEST]]).repeat(n, 1) * torch.tensor([(-1.0) ** i for i in range(n)])[:, None],
        torch.full((n, 5), 1e-45),
    ):
        found = rule.aggregate(rows, n_byzantine=rule.tolerated(n)).value
        assert found.shape == rows.shape[1:] and bool(torch.isfinite(found).all())


@pytest.mark.parametrize("name", RULES.names())
@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 33, 64])
def test_every_rule_can_run_with_the_liars_it_tolerates(name: str, n: int) -> None:
    rule = make_rule(name)
    assert 0 <= rule.tolerated(n) < max(1, n / 2)
    assert rule.check(n, rule.tolerated(n)) is None


def test_the_mean_is_the_mean_to_the_last_bit() -> None:
    rows = rows_of(16, 70_001) + 1000
    result = Mean().aggregate(rows, n_byzantine=0)
    assert torch.equal(result.value, rows.double().mean(0).float())
    assert result.residual == 0.0


def test_the_mean_of_the_largest_values_does_not_overflow() -> None:
    assert Mean().aggregate(torch.full((3, 2), LARGEST), n_byzantine=0).value.tolist() == [LARGEST, LARGEST]


def test_centered_clip_by_name_is_centered_clip() -> None:
    rows = rows_of(9, 1000)
    by_name, direct = CenteredClip(tau=5.0).aggregate(rows, n_byzantine=4), centered_clip(rows, tau=5.0)
    assert torch.equal(by_name.value, direct.value)
    assert by_name.residual == direct.residual


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 64])
@pytest.mark.parametrize("d", [1, 3, 40_000])
def test_the_median_is_that_of_every_coordinate(n: int, d: int) -> None:
    rows = rows_of(n, d)
    found = CoordinateMedian().aggregate(rows, n_byzantine=0).value
    assert np.array_equal(found.numpy(), np.median(rows.double().numpy(), axis=0).astype(np.float32))


def test_the_median_of_the_largest_values_does_not_overflow() -> None:
    rows = torch.tensor([[LARGEST, -LARGEST], [LARGEST, -LARGEST]])
    assert CoordinateMedian().aggregate(rows, n_byzantine=0).value.tolist() == [LARGEST, -LARGEST]


def test_the_median_of_zeros_has_one_sign() -> None:
    rows = torch.tensor([[-0.0, 0.0, -0.0], [-0.0, -0.0, 0.0]])
    assert not CoordinateMedian().aggregate(rows, n_byzantine=0).value.signbit().any()


@pytest.mark.parametrize("n", [1, 2, 5, 8, 16, 33])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.49])
def test_the_trimmed_mean_is_the_mean_without_extremes(n: int, share: float) -> None:
    rows, rule = rows_of(n, 1000), TrimmedMean(share)
    cut = rule.tolerated(n)
    kept = np.sort(rows.double().numpy(), axis=0)[cut : n - cut]
    found = rule.aggregate(rows, n_byzantine=cut).value
    assert np.allclose(found.numpy(), kept.mean(axis=0), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("n", "share", "cut"), [(8, 0.25, 2), (5, 0.2, 1), (100, 0.29, 29), (3, 0.25, 0), (7, 0.49, 3)]
)
def test_the_trimmed_mean_cuts_off_its_share(n: int, share: float, cut: int) -> None:
    assert TrimmedMean(share).tolerated(n) == cut


def test_the_trimmed_mean_refuses_to_cut_off_all() -> None:
    assert "cannot do without 2" in (TrimmedMean().check(4, 2) or "")
    with pytest.raises(ValueError, match="cannot do without 2"):
        TrimmedMean().aggregate(rows_of(4, 10), n_byzantine=2)


@pytest.mark.parametrize("name", ["coordinate_median", "trimmed_mean:share=0.49"])
@pytest.mark.parametrize("n", [5, 8, 16])
def test_liars_move_no_coordinate_beyond_the_honest_rows(name: str, n: int) -> None:
    rule, rows = make_rule(name), rows_of(n, 500)
    for far in (1e30, -1e30):
        rows[: rule.tolerated(n)] = far
        found, honest = rule.aggregate(rows, n_byzantine=rule.tolerated(n)).value, rows[rule.tolerated(n) :]
        assert bool((found <= honest.max(0).values).all() and (found >= honest.min(0).values).all())
