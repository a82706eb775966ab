"""Honest peers that die at any event of a step: the others go on soon, together, and nobody else pays."""

from __future__ import annotations

import itertools
import random

import pytest

from btard.agreement.terms import Terms
from tests.btard.round.mortal import PATIENT, Death, MortalSwarm
from tests.btard.round.swarm import keys
from tests.quick import quick, stride

BOUND = PATIENT.delay_bound_seconds
MOST_MOMENTS = 200


def stood(count: int, death: Death, seed: int = 0) -> float | None:
    """Return for how many seconds the others stood; None if the moment has not come."""
    swarm = MortalSwarm(count, death, seed=seed)
    swarm.run()
    swarm.check()
    return None if swarm.died_at is None else swarm.stood_seconds


def most_of(count: int, dead: int) -> float:
    """Return for how many seconds so many deaths may stop a swarm: see docs/reliability.md."""
    members = tuple(key.peer_id for key in keys(count))
    terms = Terms(b"", members, frozenset(members), BOUND)
    return 4 * BOUND if count - dead >= terms.quorum else 4 * BOUND + terms.window_seconds


def die_at_events(count: int, place: int, step: int, seed: int, apart: int = 1) -> None:
    for moment in range(1 + seed % apart, MOST_MOMENTS, apart):
        seconds = stood(count, Death((place,), step, moment), seed)
        if seconds is None:
            assert moment > 10 * (step > 0)
            return
        assert seconds < 3 * BOUND, (count, place, step, moment, seed)
    raise AssertionError("the step never ends")


@pytest.mark.parametrize("count, place, step, seed", quick(1, [(4, 1, 1, 0), (5, 2, 3, 115)]))
def test_one_death_at_any_event_costs_seconds(count: int, place: int, step: int, seed: int) -> None:
    die_at_events(count, place, step, seed)


@pytest.mark.slow
@pytest.mark.parametrize("count", [4, 5, 6, 7])
def test_so_does_the_death_of_any_member(count: int) -> None:
    """At each sixth event, other ones for other members; TEST_EVERY=1 takes all."""
    for number, (place, step) in enumerate(itertools.product(range(count), (1, 6))):
        die_at_events(count, place, step, seed=count + number, apart=stride(6))


@pytest.mark.parametrize("place", range(4))
def test_a_death_in_the_first_step_of_a_run_is_noticed_too(place: int) -> None:
    """Nothing has been measured, and a member that has said nothing may still be loading."""
    for moment in range(1, 40, 3):
        seconds = stood(4, Death((place,), 0, moment))
        assert seconds is None or seconds < 9 * BOUND, (place, moment)


def two_die(count: int, seed: int) -> None:
    luck = random.Random(1000 * count + seed)
    first, second = luck.sample(range(count), 2)
    apart = luck.choice([0.0, 0.01, 0.1, 1.0]) * luck.random()
    death = Death((first, second), luck.choice([1, 2, 5]), luck.randint(1, 45), apart)
    seconds = stood(count, death, seed)
    assert seconds is None or seconds < most_of(count, 2), (count, death, seed)


@pytest.mark.parametrize("seed", quick(4, range(12)))
def test_two_deaths_at_once_cost_what_the_closed_form_says(seed: int) -> None:
    two_die(8, seed)
    two_die(5, seed)


def test_a_second_death_that_nobody_waited_for_is_noticed() -> None:
    """Both die after they have sent all that the phase waits for, but for one message of the first one."""
    seconds = stood(8, Death((3, 6), 2, 26), seed=3)
    assert seconds is not None and seconds < 1.5 * BOUND


def test_a_silent_member_that_may_have_finished_is_waited_for() -> None:
    """It was to show its row to a witness, which has signed nothing; the others have, and cannot know whether that is
    true."""
    seconds = stood(5, Death((2,), 3, 25), seed=115)
    assert seconds is not None and 2 * BOUND < seconds < 3 * BOUND


@pytest.mark.slow
@pytest.mark.parametrize("count", [5, 6, 7, 8, 11])
def test_so_do_many_pairs(count: int) -> None:
    for seed in range(100, 200, stride(8)):
        two_die(count, seed)
