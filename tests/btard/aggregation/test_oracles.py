"""Every rule against what textbooks write, over sizes, liars and rows of many kinds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from btard.aggregation import make_rule
from tests.btard.aggregation import oracles

Rows = NDArray[np.float64]


def mean_of_rows(choose: Callable[[Rows, int], list[int]]) -> oracles.Oracle:
    return lambda x, f: x[choose(x, f)].mean(0)


SELECTING: dict[str, Callable[[Rows, int], list[int]]] = {
    "krum": oracles.krum_rows,
    "krum:m=2": lambda x, f: oracles.krum_rows(x, f, 2),
    "multi_krum": lambda x, f: oracles.krum_rows(x, f, len(x) - f),
    "krum:legacy=true": oracles.legacy_krum_rows,
    "mda": oracles.mda_rows,
    "cge": lambda x, f: oracles.nearest_rows(x, 0 * x[0], len(x) - f),
    "monna": lambda x, f: oracles.nearest_rows(x, x[0], len(x) - f),
    "monna:pivot=2": lambda x, f: oracles.nearest_rows(x, x[2], len(x) - f),
    "aksel": lambda x, f: oracles.nearest_rows(x, np.median(x, axis=0), (len(x) + 1) // 2),
    "aksel:mode=n-f": lambda x, f: oracles.nearest_rows(x, np.median(x, axis=0), len(x) - f),
    "aksel:legacy=true": lambda x, f: oracles.nearest_rows(x, oracles.lower_median(x), (len(x) + 1) // 2),
    "mean": lambda x, f: list(range(len(x))),
}

ORACLES: dict[str, oracles.Oracle] = {
    **{name: mean_of_rows(choose) for name, choose in SELECTING.items()},
    "bulyan": oracles.bulyan,
    "bulyan:legacy=true": oracles.legacy_bulyan,
    "coordinate_median": lambda x, f: np.median(x, axis=0),
    "coordinate_median:legacy=true": lambda x, f: oracles.lower_median(x),
    "trimmed_mean": oracles.trimmed_mean,
    "phocas": lambda x, f: oracles.nearest(x, oracles.trimmed_mean(x, f), len(x) - f),
    "meamed": lambda x, f: oracles.nearest(x, np.median(x, axis=0), len(x) - f),
    "meamed:legacy=true": lambda x, f: oracles.nearest(x, oracles.lower_median(x), len(x) - f),
    "sign_majority": lambda x, f: np.sign(np.sign(x).sum(0)),
    "caf": oracles.caf,
    "nnm+trimmed_mean": lambda x, f: oracles.trimmed_mean(oracles.nearest_neighbour_mixing(x, f), f),
    "adaptive_clipping+mean": lambda x, f: oracles.adaptive_clipping(x, f).mean(0),
    "static_clipping:norm=2+coordinate_median": lambda x, f: np.median(
        x * np.minimum(1, 2 / np.maximum(np.linalg.norm(x, axis=1), 1e-300))[:, None], axis=0
    ),
}

SIZES = [(4, 0, 3), (5, 1, 2), (7, 1, 40), (11, 2, 5), (11, 4, 100), (16, 3, 200), (19, 4, 7)]


def random_rows(n: int, f: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(n * d + f))


def rows_of(kind: str, n: int, f: int, d: int) -> torch.Tensor:
    """Return honest rows first, and f of a kind last."""
    rows = random_rows(n, f, d)
    if kind == "far":
        rows[n - f :] *= 1e30
    elif kind == "copies":
        rows[n - f :] = rows[: n - f].mean(0) - 1.5 * rows[: n - f].std(0)
    elif kind == "parallel":
        rows = rows * 1e-3 + 10
        rows[n - f :] *= -1
    elif kind == "tiny":
        rows *= 1e-30
    return rows


KINDS = ["random", "far", "copies", "parallel", "tiny"]


def possible(name: str, n: int, f: int) -> bool:
    return make_rule(name).check(n, f) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    # Of rows at 1e30, the covariance of the textbook has no digits left for the others.
    [(name, kind) for name in ORACLES for kind in KINDS if (name, kind) != ("caf", "far")],
)
def test_every_rule_is_what_its_textbook_says(name: str, kind: str) -> None:
    tried = 0
    for n, f, d in SIZES:
        if not possible(name, n, f):
            continue
        rows = rows_of(kind, n, f, d)
        expected = ORACLES[name](rows.double().numpy(), f)
        found = make_rule(name).aggregate(rows, n_byzantine=f).value.double().numpy()
        scale = float(rows[: n - f].abs().max()) if kind != "far" or name != "mean" else 1e30
        assert np.abs(found - expected).max() <= 2e-6 * max(scale, np.abs(expected).max()), (n, f, d)
        tried += 1
    assert tried >= 2


@pytest.mark.parametrize("name", SELECTING)
@pytest.mark.parametrize("kind", KINDS)
def test_rules_that_select_rows_say_which(name: str, kind: str) -> None:
    for n, f, d in SIZES:
        if possible(name, n, f):
            rows = rows_of(kind, n, f, d)
            expected = tuple(SELECTING[name](rows.double().numpy(), f))
            assert make_rule(name).aggregate(rows, n_byzantine=f).selected == expected, (n, f, d)


@pytest.mark.parametrize("name", SELECTING)
def test_rows_that_tie_are_taken_from_the_front(name: str) -> None:
    """Whole numbers make distances that are equal to the last bit."""
    for n, f, d in SIZES:
        if possible(name, n, f):
            rows = torch.randint(-1, 2, (n, d), generator=torch.Generator().manual_seed(d)).float()
            expected = tuple(SELECTING[name](rows.double().numpy(), f))
            assert make_rule(name).aggregate(rows, n_byzantine=f).selected == expected, (n, f, d)


def test_divide_and_conquer_leaves_out_what_spreads_most() -> None:
    rows = random_rows(16, 3, 50)
    rows[13:] += 2.0
    rule = make_rule("dnc:coordinates=100000")
    kept = oracles.first_best(oracles.farthest_along_spread(rows.double().numpy()), 13)
    found = rule.aggregate(rows, n_byzantine=3)
    assert found.selected == tuple(kept) == tuple(range(13))
    assert torch.allclose(found.value, rows[:13].mean(0), atol=1e-6)
    assert make_rule("dnc:iterations=3,coordinates=60").aggregate(rows, n_byzantine=3).selected is not None
    assert "none may be left" in (make_rule("dnc:iterations=10").check(16, 3) or "")


def test_the_geometric_median_has_the_least_sum_of_distances() -> None:
    for n, f, d in [(3, 1, 2), (5, 2, 40), (16, 7, 5000)]:
        rows = random_rows(n, f, d)
        rows[n - f :] += 30.0
        x = rows.double()
        v = x.mean(0)
        for _ in range(300):
            weights = 1 / (x - v).norm(dim=1).clamp(min=1e-9)
            v = (weights @ x) / weights.sum()
        found = make_rule("geometric_median").aggregate(rows, n_byzantine=f).value
        assert (found - v).norm() <= 1e-4 * (x - v).norm(dim=1).median()
        assert (x - found).norm(dim=1).sum() <= (x - v).norm(dim=1).sum() * (1 + 1e-6)


def test_a_row_with_half_of_the_weight_is_the_geometric_median() -> None:
    rows = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [9.0, 0.0], [0.0, 30.0]])
    found = make_rule("geometric_median").aggregate(rows, n_byzantine=2).value
    assert torch.allclose(found, rows[0], atol=1e-5)
