"""How long training stands, by what peers have told of their steps."""

import pytest

from btard.deploy.chaos.standstill import longest_gap, stood, usual_step_seconds


def told(*ends: float) -> list[tuple[float, int]]:
    return [(end, number) for number, end in enumerate(ends)]


def test_the_usual_step_is_the_median_before_the_moment() -> None:
    assert usual_step_seconds(told(0, 1, 2, 3, 9, 10, 30), before=10) == 1
    assert usual_step_seconds(told(0), before=10) == 0


@pytest.mark.parametrize(
    ("ends", "gap"),
    [
        ((0, 1, 2, 3, 4), 1),
        ((0, 1, 4, 5), 3),  # the step that was going on took three seconds more
        ((0, 1), 4),  # none has ended since
        ((), 3),
    ],
)
def test_a_step_that_has_not_ended_lasts_until_the_end(ends: tuple[float, ...], gap: float) -> None:
    assert longest_gap(told(*ends), since=2, until=5) == gap


def test_the_peer_that_stood_longest_counts() -> None:
    steady, stuck = told(0, 1, 2, 3, 4, 5), told(0, 1, 2, 5)
    assert stood([steady, stuck], since=2.5, until=5) == 2
    assert stood([steady], since=2.5, until=5) == 0
