"""Honest peers that stand still, or lose their connections, for a while at any event of a step: the others go on soon,
together, and nobody else pays; one that is back goes on with them, or knows that it has lost its place."""

from __future__ import annotations

import itertools

import pytest

from btard.round.actions import Finished
from tests.btard.round.mortal import PATIENT, Death, Fate, MortalSwarm
from tests.quick import stride

BOUND = PATIENT.delay_bound_seconds
MOST_MOMENTS = 200
BRIEFLY, ALMOST_BOUND, LONG = 0.2 * BOUND, 0.8 * BOUND, 4 * BOUND
AWAY = list(itertools.product((Fate.STANDS, Fate.IS_CUT_OFF), (BRIEFLY, ALMOST_BOUND, LONG)))


def away_at_every_event(count: int, place: int, step: int, seed: int, fate: Fate, seconds: float, apart: int) -> None:
    for moment in range(1, MOST_MOMENTS, apart):
        swarm = MortalSwarm(count, Death((place,), step, moment, fate=fate, away_seconds=seconds), seed=seed)
        swarm.run()
        swarm.check()
        if swarm.died_at is None:
            assert moment > 10
            return
        assert swarm.stood_seconds < 3 * BOUND, (count, place, step, moment, seed)
    raise AssertionError("the step never ends")


@pytest.mark.parametrize(("fate", "seconds"), AWAY)
def test_one_that_is_away_at_any_event_costs_seconds(fate: Fate, seconds: float) -> None:
    away_at_every_event(4, 1, 1, 0, fate, seconds, apart=5)


@pytest.mark.slow
@pytest.mark.parametrize("count", [4, 5, 6, 7])
@pytest.mark.parametrize(("fate", "seconds"), AWAY)
def test_so_does_any_member_that_is_away(count: int, fate: Fate, seconds: float) -> None:
    for place in range(count):
        away_at_every_event(count, place, 6, count, fate, seconds, apart=stride(16 if count < 6 else 32))


def test_one_that_stands_for_a_moment_keeps_its_place() -> None:
    swarm = MortalSwarm(4, Death((1,), 1, 9, fate=Fate.STANDS, away_seconds=BRIEFLY))
    swarm.run()
    assert swarm.died_at is not None
    assert all(isinstance(event, Finished) for peer in swarm.peers for event in peer.history)


def test_one_that_stands_for_long_learns_that_it_is_out() -> None:
    swarm = MortalSwarm(4, Death((1,), 1, 9, fate=Fate.STANDS, away_seconds=LONG))
    swarm.run()
    assert swarm.peers[1].stopped is not None
    assert all(len(peer.finished()) == 4 for peer in swarm.lived)
