"""Curves stay small however long a run is, and lose nothing near their focus."""

from __future__ import annotations

import math

import pytest

from btard.coordinator.dashboard.series import AFTER, BEFORE, MAX_POINTS, Series, finite, short


def test_short_curves_are_kept_in_full() -> None:
    series = Series()
    for step in range(5):
        series.add(step, (float(step), None))
    assert series.rows() == [[0, 0.0, None], [1, 1.0, None], [2, 2.0, None], [3, 3.0, None], [4, 4.0, None]]
    assert series.rows(3) == [[3, 3.0, None], [4, 4.0, None]]


@pytest.mark.parametrize("steps", [MAX_POINTS, MAX_POINTS + 1, 10_000])
def test_long_curves_are_means_of_equal_stretches(steps: int) -> None:
    series = Series()
    for step in range(steps):
        series.add(step, (float(step), 1.0))
    rows = series.rows()
    assert len(rows) <= MAX_POINTS
    assert rows[0][1] == pytest.approx((series.stride - 1) / 2)
    assert [row[0] for row in rows] == list(range(0, steps, series.stride))
    assert all(row[2] == 1.0 for row in rows)


def test_what_is_told_twice_or_late_counts_once() -> None:
    series = Series()
    for step in (3, 3, 2, 4):
        series.add(step, (float(step),))
    assert series.rows() == [[3, 3.0], [4, 4.0]]


def test_changes_are_known() -> None:
    series = Series()
    for step in range(MAX_POINTS):
        series.add(step, (1.0,))
    series.changed_from = len(series)
    series.add(MAX_POINTS, (1.0,))
    assert series.changed_from == 0 and series.stride == 2
    series.changed_from = len(series)
    series.add(MAX_POINTS + 1, (3.0,))
    assert series.changed_from == len(series) - 1
    assert series.rows(series.changed_from) == [[MAX_POINTS, 2.0]]


@pytest.mark.parametrize("named_at", [0, 100, 130, 5000])
def test_the_steps_around_the_focus_are_kept(named_at: int) -> None:
    series = Series()
    for step in range(2000):
        if step == named_at:
            series.look_at(100)
            series.look_at(700)
        series.add(step, (float(step),))
    if named_at < 2000:
        assert [row[0] for row in series.window()] == list(range(100 - BEFORE, 100 + AFTER + 1))
        assert series.focus == 100
    else:
        assert series.window() == []


@pytest.mark.parametrize("lie", [math.nan, math.inf, -math.inf, 1e300, 10**400, True, "1", None, [1]])
def test_what_cannot_be_drawn_is_nothing(lie: object) -> None:
    assert finite(lie) is None


def test_numbers_are_short() -> None:
    assert short(1.23456789) == 1.2346 and short(None) is None and finite(3) == 3.0
