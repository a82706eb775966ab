"""The search for the factor that hurts most, and the attacks that use it."""

from __future__ import annotations

import math

import pytest
import torch

from btard.byzantine.gradients.crafted.line_search import line_search
from btard.byzantine.gradients.registry import make_attack
from btard.errors import UserError
from tests.byzantine.gradients.helpers import D, averaging, knowing, rows


def visited(score, evaluations: int) -> tuple[list[float], float]:  # type: ignore[no-untyped-def]
    places: list[float] = []

    def noted(place: float) -> float:
        places.append(place)
        return score(place)

    return places, line_search(noted, evaluations)


def test_the_parabola_is_searched_as_published() -> None:
    places, best = visited(lambda x: -((x - 3) ** 2), 16)
    assert best == 3.0
    assert len(places) == 16
    assert places[:6] == pytest.approx([0, 1, 3, 7, 3.8, 1.24])


@pytest.mark.parametrize("evaluations", [1, 2, 3, 50])
def test_it_looks_as_often_as_it_may(evaluations: int) -> None:
    assert len(visited(lambda x: x, evaluations)[0]) == evaluations
    assert len(visited(lambda x: -x, evaluations)[0]) == evaluations


def test_a_rising_score_is_followed_by_doubled_steps() -> None:
    assert visited(lambda x: x, 6) == ([0, 1, 3, 7, 15, 31], 31)


def test_it_never_goes_below_zero() -> None:
    places, best = visited(lambda x: -x, 40)
    assert best == 0.0 and min(places) >= 0.0


def test_no_number_is_the_lowest_score() -> None:
    assert line_search(lambda x: math.nan if x < 1 else -((x - 3) ** 2), 16) == 3.0
    assert line_search(lambda x: math.nan, 16) == 0.0


@pytest.mark.parametrize("name", ["little", "empire", "ipm", "empire_strict", "bulyan"])
def test_a_search_finds_what_moves_the_aggregate_most(name: str) -> None:
    """The mean of the three closest to the median is moved most by a vector just inside."""
    known = rows(3)

    def aggregate(sent: torch.Tensor) -> torch.Tensor:
        everything = torch.cat([known, sent.expand(3, -1)])
        near = (everything - everything.median(0).values).abs().argsort(0)[:3]
        return everything.gather(0, near).mean(0)

    def damage(sent: torch.Tensor) -> float:
        return float((aggregate(sent) - known.mean(0)).double().square().sum())

    searched = make_attack(f"{name}:factor=-24").vectors(knowing(known, aggregate=aggregate))  # type: ignore[union-attr]
    tries = [make_attack(f"{name}:factor={x}").vectors(knowing(known)) for x in (0, 1, 3, 7, 15)]  # type: ignore[union-attr]
    assert damage(searched) >= max(map(damage, tries[:2]))
    assert damage(searched) > 0


def test_against_the_mean_the_last_place_is_the_worst() -> None:
    known = rows()
    sent = make_attack("empire:factor=-5").vectors(knowing(known, aggregate=averaging(known)))  # type: ignore[union-attr]
    torch.testing.assert_close(sent, (1 - 15.0) * known.mean(0))


def test_a_search_needs_the_rule() -> None:
    with pytest.raises(UserError, match="give a factor from 0 on"):
        make_attack("little").vectors(knowing(torch.ones(2, D)))  # type: ignore[union-attr]
