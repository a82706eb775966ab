"""Budgets, on a clock that the tests set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.transport.libp2p.budget import Budget


def test_a_burst_passes_and_a_debt_is_waited_for() -> None:
    budget = Budget(rate=0.05, burst=0.25)
    assert budget.spend(100.0, 0.25) == 0
    assert budget.spend(100.0, 0.01) == pytest.approx(0.2)
    assert budget.wait(100.1) == pytest.approx(0.1)
    assert budget.wait(100.2) == 0


def test_what_is_spent_while_paying_is_added_to_the_debt() -> None:
    budget = Budget(rate=0.5, burst=1.0)
    assert budget.spend(0.0, 2.0) == pytest.approx(2.0)
    assert budget.spend(1.0, 0.5) == pytest.approx(2.0)
    assert budget.wait(2.5) == pytest.approx(0.5)


def test_what_is_not_used_comes_back_up_to_the_burst() -> None:
    budget = Budget(rate=1.0, burst=3.0)
    budget.spend(0.0, 3.0)
    assert budget.spend(2.0, 2.0) == 0
    assert budget.spend(1000.0, 3.0) == 0
    assert budget.spend(1000.0, 1.0) == pytest.approx(1.0)


def test_a_crowd_pays_its_debts_more_slowly() -> None:
    budget = Budget(rate=1.0, burst=1.0)
    assert budget.spend(0.0, 2.0, slower=4.0) == pytest.approx(4.0)
    assert budget.wait(4.0) == 0


@given(
    steps=st.lists(st.tuples(st.floats(0, 10), st.floats(0, 0.2)), max_size=200),
    rate=st.floats(0.01, 1.0),
    burst=st.floats(0.01, 1.0),
)
def test_a_peer_that_waits_for_permission_stays_in_its_budget(
    steps: list[tuple[float, float]], rate: float, burst: float
) -> None:
    budget, now, used, largest = Budget(rate, burst), 0.0, 0.0, 0.0
    for pause, cost in steps:
        now += pause
        if budget.wait(now) == 0:
            assert used <= burst + rate * now + largest + 1e-6
            budget.spend(now, cost)
            used, largest = used + cost, max(largest, cost)
