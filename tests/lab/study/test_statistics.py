from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from btard.lab.study.statistics import over_seeds, paired, summary, worst

numbers = st.floats(-1e6, 1e6)


@given(st.lists(numbers, min_size=2, max_size=12))
def test_the_interval_is_that_of_students_t(values: list[float]) -> None:
    found = summary(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-6)
    if np.ptp(values) > 1e-3:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6, abs=1e-6)


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    draws = np.random.default_rng(1).normal(3.0, 2.0, (4000, 5))
    holds = [found.low <= 3.0 <= found.high for found in map(summary, draws.tolist())]
    assert np.mean(holds) == pytest.approx(0.95, abs=0.015)


def test_one_seed_has_a_mean_and_no_interval() -> None:
    found = summary([2.5, math.nan])
    assert (found.mean, found.seeds) == (2.5, 1)
    assert math.isnan(found.low) and math.isnan(found.deviation)
    assert str(found) == "2.5 (one seed)"


def test_without_numbers_nothing_is_said() -> None:
    found = summary([math.nan])
    assert found.seeds == 0 and math.isnan(found.mean) and str(found) == "-"


def test_seeds_are_summarised_for_each_combination() -> None:
    frame = pd.DataFrame({"rule": ["a", "a", "b", "b"], "seed": [1, 2, 1, 2], "accuracy": [0.5, 0.7, 0.9, math.nan]})
    found = over_seeds(frame, ["rule"], "accuracy").set_index("rule")
    assert found.loc["a", "mean"] == pytest.approx(0.6) and found.loc["a", "seeds"] == 2
    assert found.loc["b", "mean"] == pytest.approx(0.9) and found.loc["b", "seeds"] == 1


def test_pairs_are_made_by_seed_and_not_by_order() -> None:
    first = pd.DataFrame({"seed": [1, 2, 3, 9], "accuracy": [0.1, 0.5, 0.9, 0.0]})
    second = pd.DataFrame({"seed": [3, 1, 2], "accuracy": [1.0, 0.3, 0.6]})
    found = paired(first, second, "accuracy")
    assert found.difference.seeds == 3 and found.difference.mean == pytest.approx((0.2 + 0.1 + 0.1) / 3)
    assert found.t_probability == pytest.approx(stats.ttest_rel([0.3, 0.6, 1.0], [0.1, 0.5, 0.9]).pvalue)


def test_pairs_that_do_not_differ_prove_nothing() -> None:
    frame = pd.DataFrame({"seed": [1, 2], "accuracy": [0.5, 0.5]})
    found = paired(frame, frame, "accuracy")
    assert found.difference.mean == 0 and math.isnan(found.t_probability) and math.isnan(found.rank_probability)


def test_two_rows_for_one_pair_are_refused() -> None:
    frame = pd.DataFrame({"seed": [1, 1], "accuracy": [0.5, 0.6]})
    with pytest.raises(ValueError, match="no pairs"):
        paired(frame, frame, "accuracy")


def test_the_worst_attack_of_each_rule_is_named() -> None:
    frame = pd.DataFrame({"rule": ["a", "a", "b", "b"], "attack": ["x", "y", "x", "y"], "mean": [0.9, 0.2, 0.6, 0.7]})
    found = worst(frame, ["rule"], "attack", "mean", higher_is_better=True).set_index("rule")
    assert (found.loc["a", "worst"], found.loc["a", "at"]) == (0.2, "y")
    assert (found.loc["b", "worst"], found.loc["b", "at"]) == (0.6, "x")
