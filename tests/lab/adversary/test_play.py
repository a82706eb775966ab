"""What strategies achieve in a small swarm: nothing by honesty, what is known by known ones, and always the same."""

from __future__ import annotations

import dataclasses

import pytest

from btard.identity import MessageKind
from btard.lab.adversary.colluder import Colluder
from btard.lab.adversary.colluding_peer import ColludingPeer
from btard.lab.adversary.conditions import Condition, Fact
from btard.lab.adversary.knowledge import Ring
from btard.lab.adversary.lies import Delay, FallSilent, Poison, Twist, Withhold
from btard.lab.adversary.play import Arena, play
from btard.lab.adversary.scores import HONEST_SCORE, MOST_SCORE, Aim
from btard.lab.adversary.strategy import Clause, Strategy, from_json, to_json
from btard.lab.simulation.simulation import Simulation
from tests.lab.adversary.known import GAMBLERS, POISONERS, QUARREL, QUARREL_IN_TURN

ARENA = Arena(peers=7, byzantine=3, steps=6)
SMALL = Arena(peers=5, byzantine=1, steps=4)


def never(strategy: Strategy) -> Strategy:
    """Return a strategy whose lies are never due."""
    impossible = Condition(Fact.STEP_FROM, number=1000)
    return Strategy(tuple(dataclasses.replace(clause, conditions=(impossible,)) for clause in strategy.clauses))


@pytest.mark.parametrize(
    "strategy", [Strategy(), never(GAMBLERS), never(Strategy((Clause(Withhold(MessageKind.COMMIT)),)))]
)
def test_colluders_that_do_not_lie_achieve_nothing(strategy: Strategy) -> None:
    for seed in range(3):
        scores = play(strategy, ARENA, seed)
        assert {aim: scores.of(aim) for aim in Aim} == HONEST_SCORE
        assert (scores.done, scores.voided, scores.bans, scores.partings) == (ARENA.steps, 0, 0, 0)


def test_colluders_that_do_not_lie_are_as_any_peer() -> None:
    """Their messages take another way, one receiver at a time, and arrive when those of others would."""
    silent, ring = never(Strategy((Clause(Withhold(MessageKind.COMMIT)),))), Ring(1)
    plain = Simulation(ARENA.settings(1).model_copy(update={"attack": ["NONE"]})).run()
    led = Simulation(
        ARENA.settings(1), make_attacker=lambda *_: Colluder(silent, ring), attacker_type=ColludingPeer
    ).run()
    assert (led.final_digest, led.network.now, led.traffic) == (plain.final_digest, plain.network.now, plain.traffic)


def test_a_strategy_scores_the_same_each_time() -> None:
    delayed = Strategy((*GAMBLERS.clauses, Clause(Delay(MessageKind.REVEAL, 0.02), (), 0.015)))
    arena = dataclasses.replace(ARENA, delay="0.005-0.02")
    first = play(delayed, arena, 5)
    assert first.poisoned and play(from_json(to_json(delayed)), arena, 5) == first


def test_poison_counts_until_its_authors_are_out() -> None:
    scores = [play(POISONERS, ARENA, seed) for seed in range(3)]
    assert all(each.poisoned >= 4 for each in scores) and any(each.bans >= 2 for each in scores)


def test_a_vector_that_is_not_changed_is_no_poison() -> None:
    scores = play(Strategy((Clause(Poison(Twist.FLIP, -1.0)),)), ARENA, 1)
    assert scores.poisoned == 0


@pytest.mark.parametrize("strategy", [QUARREL, QUARREL_IN_TURN], ids=["one", "all"])
@pytest.mark.parametrize("arena", [SMALL, ARENA], ids=["five", "seven"])
def test_a_quarrel_costs_its_author_its_place(strategy: Strategy, arena: Arena) -> None:
    """Each colluder makes one attempt fail, which costs all less than eight undisturbed steps."""
    scores = play(strategy, arena, 2)
    assert (scores.done, scores.honest_out) == (arena.steps, 0)
    assert scores.voided == scores.bans == arena.byzantine
    assert 0 < (scores.control - 1) * arena.steps < 8 * scores.voided
    assert scores.time < 2, "judges have all that they look at, and wait for nobody"


def test_gamblers_pay_for_every_draw() -> None:
    """For each draw that they refuse, and for each that catches one of them, one is out."""
    gambled = [play(GAMBLERS, ARENA, seed) for seed in range(4)]
    assert all(each.bans == each.voided and not each.honest_out for each in gambled)
    assert sum(each.bans for each in gambled) > 0 < sum(each.poisoned for each in gambled)


def test_colluders_that_vanish_when_caught_harm_nobody() -> None:
    """The others agree on votes without them, and go on to hear each other."""
    strategy = Strategy((Clause(Poison(Twist.TURN, 2.0)), Clause(FallSilent(MessageKind.REPORT))))
    scores = play(strategy, Arena(), 2)
    assert (scores.done, scores.honest_out, scores.bans, scores.voided) == (Arena().steps, 0, 1, 1)


def test_a_place_is_paid_for_once_in_a_long_run() -> None:
    """Each colluder makes one attempt fail, and keeps back what lets the others agree at once."""
    strategy = Strategy((*QUARREL.clauses, Clause(Withhold(MessageKind.RELAY))))
    short, long = (play(strategy, arena, 1) for arena in (Arena(), Arena().measuring(Aim.TIME)))
    assert long.time < MOST_SCORE[Aim.TIME] < short.time
    assert (short.done, short.bans, long.bans) == (8, 3, 3) and long.done < 8, "what follows is as without them"


def test_a_step_that_is_never_done_outweighs_any_delay() -> None:
    half = dataclasses.replace(ARENA, peers=4, byzantine=2)
    halted = play(Strategy((Clause(FallSilent(MessageKind.COMMIT)),)), half, 1)
    slow = play(Strategy((Clause(Delay(MessageKind.COMMIT, 15.0)),)), half, 1)
    assert (halted.done, slow.done, slow.voided) == (0, half.steps, 0)
    assert halted.time > 1000 * slow.time > 1000
