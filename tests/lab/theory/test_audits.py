"""How often accomplices are the only auditors: the closed form holds to the draws."""

from __future__ import annotations

import pytest

from btard.lab.theory.audits import drawn, interval_of_share, main, rows


def test_the_closed_form_lies_in_the_interval_of_the_draws() -> None:
    table = list(rows(400))
    assert {(row.voters, row.liars) for row in table} == {(8, 3), (16, 7), (64, 31)}
    inside = [low <= row.chance <= high for row in table for low, high in [interval_of_share(row.passed, row.draws)]]
    assert sum(inside) >= len(inside) - 1, "of intervals of 95 %"


def test_enough_auditors_never_are_accomplices_alone() -> None:
    for voters, liars in ((8, 3), (16, 7)):
        assert drawn(voters, liars, liars, 300) == 0 and drawn(voters, liars, 1, 300) > 0


def test_an_interval_holds_the_share_and_stays_a_probability() -> None:
    assert interval_of_share(0, 100)[0] == pytest.approx(0, abs=1e-12) and interval_of_share(100, 100)[1] <= 1
    low, high = interval_of_share(50, 100)
    assert (low, high) == pytest.approx((0.404, 0.596), abs=1e-3)


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--draws", "20"]) == 0
    assert capsys.readouterr().out.count("\n| ") == 11
