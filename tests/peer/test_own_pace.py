"""A peer that has lost its place for being slow is told its own time beside that of half of the members."""

from __future__ import annotations

from btard.peer.own_pace import OwnPace


def test_the_own_time_stands_beside_that_of_half_of_the_members() -> None:
    pace = OwnPace(3.0)
    for seconds in (4.0, 4.5, 60.0):
        pace.computed(seconds)
    assert pace.beside(1.25) == (
        ": it computes for 4.50 s, while half of the members have committed after 1.25 s; more than 3 times a usual "
        "step is too slow"
    )


def test_a_peer_that_is_no_slower_is_told_no_figures() -> None:
    pace = OwnPace(3.0)
    assert pace.beside(1.0) == "", "it has computed nothing"
    pace.computed(1.0)
    assert pace.beside(None) == pace.beside(1.0) == ""


def test_only_the_last_steps_count() -> None:
    pace = OwnPace(2.5)
    for seconds in [9.0] * 20 + [2.0] * 16:
        pace.computed(seconds)
    assert pace.beside(1.0).startswith(": it computes for 2.00 s")
