"""What theory says of every rule: orders, shifts, outliers, copies; and what a library owes its callers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from btard.aggregation import BadRow, Grain, Mixture, Proof, aggregate_any, make_rule
from btard.aggregation.distance.covers import can_be_covered
from btard.aggregation.distance.distances import measured
from btard.aggregation.distance.ordered import all_squares, squares_around
from btard.aggregation.rows import check_rows
from btard.configuration.rule import PRE_AGGREGATORS, RULES

COMPOSED = [
    "nnm+trimmed_mean",
    "nnm+krum",
    "bucketing:size=2+trimmed_mean",
    "adaptive_clipping+multi_krum",
    "static_clipping:norm=3+coordinate_median",
    "static_clipping:norm=30+nnm+geometric_median",
]
LEGACY = [f"{name}:legacy=true" for name in ("krum", "bulyan", "coordinate_median", "meamed", "aksel")]
ALL = [*RULES.names(), *COMPOSED, *LEGACY]
N, F = 19, 4

BY_POSITION = {"monna", "bucketing:size=2+trimmed_mean"}
"""Their definition names positions."""

MOVED_BY_SHIFTS = {"cge", "sign_majority", *(name for name in COMPOSED if "clipping" in name)}
"""Their definition names zero."""

BREAKABLE = {"mean", "centered_clip"}
"""One row moves the mean anywhere; the radius of CenteredClip is one of small gradients."""


def honest(n: int = N, d: int = 50, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def aggregate(name: str, rows: torch.Tensor | list[torch.Tensor], f: int = F) -> torch.Tensor:
    return make_rule(name).aggregate(rows, n_byzantine=f).value


@pytest.mark.parametrize("name", [name for name in ALL if name not in BY_POSITION])
def test_the_order_of_rows_makes_no_difference(name: str) -> None:
    rows = honest()
    order = torch.randperm(N, generator=torch.Generator().manual_seed(5))
    assert torch.allclose(aggregate(name, rows), aggregate(name, rows[order]), rtol=0, atol=3e-6)


@pytest.mark.parametrize("name", [name for name in ALL if name not in MOVED_BY_SHIFTS])
def test_rows_that_move_together_move_the_result(name: str) -> None:
    """By whole numbers, and from rows of few digits, so that nothing is rounded."""
    rows = (honest() * 256).round() / 256
    shift = torch.arange(50) % 7 - 3.0
    assert torch.allclose(aggregate(name, rows) + shift, aggregate(name, rows + shift), rtol=0, atol=3e-5)


@pytest.mark.parametrize("name", [name for name in ALL if name not in BREAKABLE])
@pytest.mark.parametrize("far", [1e6, 1e30, 3.4e38])
def test_liars_far_away_move_nothing_beyond_the_honest(name: str, far: float) -> None:
    rows = honest()
    rows[N - F :] = far * torch.sign(honest(F, 50, seed=3))
    found, kept = aggregate(name, rows), rows[: N - F]
    assert bool(torch.isfinite(found).all())
    reach = float((kept - kept.mean(0)).norm(dim=1).max())
    assert float((found - kept.mean(0)).norm()) <= 2 * reach


@pytest.mark.parametrize("name", ["coordinate_median", "krum", "mda", "geometric_median", "trimmed_mean", "nnm+krum"])
def test_a_majority_of_liars_breaks_what_resists_a_minority(name: str) -> None:
    rows = honest(9)
    rows[4:] = 1e8 + honest(5, seed=1)
    assert float(aggregate(name, rows, f=3).norm()) > 1e6


@pytest.mark.parametrize("name", ["trimmed_mean", "cge", "multi_krum"])
def test_one_liar_more_than_declared_breaks_rules_that_count(name: str) -> None:
    rows = honest(11)
    rows[7:] = 1e8 * torch.sign(honest(4, seed=1))
    assert float(aggregate(name, rows, f=4).norm()) < 100 < 1e6 < float(aggregate(name, rows, f=3).norm())


@pytest.mark.parametrize("name", ALL)
def test_one_tensor_given_again_is_as_good_as_copies(name: str) -> None:
    for scale in (1.0, 1e25):
        rows, rule = list(honest(N - F).unbind(0)), make_rule(name)
        lie = scale * (torch.stack(rows).mean(0) + 0.3)
        shared = rule.aggregate([*rows, *[lie] * F], n_byzantine=F)
        copied = rule.aggregate([*rows, *(lie.clone() for _ in range(F))], n_byzantine=F)
        assert shared.selected == copied.selected
        assert torch.allclose(shared.value, copied.value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_results_are_the_same_again_and_in_own_memory(name: str) -> None:
    rows, rule = honest(), make_rule(name)
    before = rows.clone()
    first, again = (rule.aggregate(rows, n_byzantine=F) for _ in range(2))
    assert torch.equal(rows, before), "a rule leaves its rows alone"
    assert first.value.numpy().tobytes() == again.value.numpy().tobytes() and first.selected == again.selected
    assert first.value.untyped_storage().data_ptr() != rows.untyped_storage().data_ptr()
    kept = first.value.clone()
    rows += 1
    assert torch.equal(first.value, kept)


@pytest.mark.parametrize("name", [*COMPOSED, *LEGACY])
def test_rows_that_are_not_finite_are_left_out(name: str) -> None:
    rows = honest()
    rows[N - F :] = math.nan
    assert torch.equal(aggregate_any(make_rule(name), rows, n_byzantine=F).value, aggregate(name, rows[: N - F], f=0))
    with pytest.raises(BadRow) as refusal:
        aggregate(name, rows)
    assert refusal.value.index == N - F


@pytest.mark.parametrize("name", [name for name in ALL if "bucketing" not in name])
def test_parts_give_what_whole_rows_give_if_a_rule_says_so(name: str) -> None:
    rows, rule = honest(d=60), make_rule(name)
    rows[:, 20:40] *= 5
    rows[::3, :20] += 4
    parts = torch.cat([rule.aggregate(part, n_byzantine=F).value for part in rows.split(20, dim=1)])
    same = torch.equal(parts, rule.aggregate(rows, n_byzantine=F).value)
    assert same == (rule.grain is Grain.COORDINATE)


@pytest.mark.parametrize("name", PRE_AGGREGATORS.names())
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_what_comes_before_stays_finite(name: str, n: int) -> None:
    largest = torch.finfo(torch.float32).max
    rule = make_rule(f"{name}+coordinate_median")
    for rows in (torch.zeros(n, 3), torch.full((n, 2), largest), torch.full((n, 5), 1e-45)):
        assert bool(torch.isfinite(rule.aggregate(rows, n_byzantine=rule.tolerated(n)).value).all())
        assert rule.check(n, rule.tolerated(n)) is None


def test_theory_bounds_the_noise_that_a_rule_can_bear() -> None:
    for name, expected in {
        "krum": [0.0057, 0.0426, 0.0171, 0.0888],
        "krum:legacy=true": [0.0057, 0.0426, 0.0171, 0.0888],
        "coordinate_median": [0.1925, 0.1601, 0.2673, 0.2236],
    }.items():
        pairs = [(51, 24), (51, 12), (25, 11), (25, 5)]
        assert [make_rule(name).upper_bound(n, f) for n, f in pairs] == pytest.approx(expected, abs=5e-5)
    assert make_rule("bulyan").upper_bound(51, 12) == make_rule("krum").upper_bound(51, 12)
    assert make_rule("bulyan").upper_bound(51, 24) is None
    assert make_rule("mda").upper_bound(25, 5) == pytest.approx(20 / (math.sqrt(8) * 5))
    assert make_rule("mean").upper_bound(25, 5) is None


@pytest.mark.parametrize(
    ("name", "n", "f", "words"),
    [
        ("krum", 6, 2, "needs 7 rows where 2 may lie, and there are 6"),
        ("krum:m=5", 6, 1, None),
        ("krum:m=6", 6, 1, "at most 5 of 6 rows"),
        ("krum:m=4,legacy=true", 6, 1, "at most 3 of 6 rows"),
        ("bulyan", 10, 2, "needs 11 rows"),
        ("mda", 61, 26, "takes too long.*at most 25"),
        ("bucketing:size=2+krum", 8, 2, "krum needs 7 rows where 2 may lie, and there are 4"),
        ("monna:pivot=5", 5, 1, "position 5, and there are 5"),
    ],
)
def test_a_rule_says_what_it_needs(name: str, n: int, f: int, words: str | None) -> None:
    refusal = make_rule(name).check(n, f)
    if words is None:
        assert refusal is None
    else:
        with pytest.raises(ValueError, match=words):
            make_rule(name).aggregate(honest(n), n_byzantine=f)
        assert refusal is not None


def test_a_mixture_uses_the_rule_of_the_step() -> None:
    mixture = make_rule("krum@3~nnm+median")
    assert isinstance(mixture, Mixture) and mixture.proof is Proof.AUDITORS
    drawn = [mixture.at(step, seed=7) for step in range(2000)]
    assert drawn == [make_rule("krum@3~nnm+median").at(step, seed=7) for step in range(2000)]
    assert 0.72 < sum(rule == make_rule("krum") for rule in drawn) / 2000 < 0.78
    assert drawn != [mixture.at(step, seed=8) for step in range(2000)]
    assert mixture.tolerated(9) == 3 and "krum needs" in (mixture.check(6, 2) or "")
    with pytest.raises(ValueError, match="take the rule of a step"):
        mixture.aggregate(honest(), n_byzantine=F)


def test_draws_change_with_step_and_seed_alone() -> None:
    rule, rows = make_rule("bucketing+trimmed_mean"), honest()
    values = [
        rule.at(step, seed).aggregate(rows, n_byzantine=F).value for step, seed in ((0, 1), (0, 1), (1, 1), (0, 2))
    ]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2]) and not torch.equal(values[0], values[3])
    assert make_rule("krum").at(5, 1) == make_rule("krum")


def test_distances_are_within_their_bounds() -> None:
    for rows in (honest(8, 3000), honest(8, 3000) * 1e-3 + 1, honest(8, 3000) * 1e25, torch.full((8, 3000), 0.1)):
        exact = all_squares(check_rows(rows))
        low, high = measured(rows).bounds
        assert bool((low <= exact * (1 + 1e-12)).all() and (exact <= high * (1 + 1e-12) + 1e-300).all())
        assert np.array_equal(exact[3], squares_around(check_rows(rows), rows[3]))
        assert np.array_equal(exact, exact.T)
        differences = rows.double()[:, None] - rows.double()[None]
        assert np.allclose(exact, differences.square().sum(2).numpy(), rtol=1e-12, atol=0)


def test_a_cover_is_found_where_there_is_one() -> None:
    circle = [1 << (i + 1) % 7 | 1 << (i - 1) % 7 for i in range(7)]
    star = [0b1111110, *[1] * 6]
    everybody = [0b111111 & ~(1 << i) for i in range(6)]
    assert [can_be_covered(circle, most) for most in (3, 4)] == [False, True]
    assert [can_be_covered(star, most) for most in (0, 1)] == [False, True]
    assert [can_be_covered(everybody, most) for most in (4, 5)] == [False, True]
    assert can_be_covered([0, 0], 0)


@pytest.mark.parametrize("name", ["cge", "monna:pivot=3", "adaptive_clipping+mean"])
def test_what_float32_cannot_order_is_measured(name: str) -> None:
    """Lengths from zero, and distances from a row of zeros, differ in their last digits."""
    rows = honest(8, 5000)
    rows[3] = 0
    rows[1] *= 3
    for position, other in ((0, 7), (2, 5), (4, 6)):
        rows[other] = rows[position]
        rows[position, 17] *= 1 + 2.0**-20  # of equal rows, the first would be nearer
    squares = rows.double().square().sum(1)
    nearest = squares.argsort(stable=True)
    if name.startswith("adaptive"):
        most = squares[nearest[4]].sqrt()
        factors = (most / squares.sqrt()).clamp(max=1.0)
        expected = (rows.double() * factors[:, None]).float().double().mean(0)
    else:
        expected = rows[nearest[:6].sort().values].double().mean(0)
    assert torch.equal(make_rule(name).aggregate(rows, n_byzantine=2).value, expected.float())
