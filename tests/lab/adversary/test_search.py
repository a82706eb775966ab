"""The search goes as its seed says, gets better, believes only what holds in fresh swarms, and survives what breaks."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Iterator

import pytest

from btard.lab.adversary import search as module
from btard.lab.adversary.play import Arena, play
from btard.lab.adversary.population import Population, divides_votes
from btard.lab.adversary.scores import HONEST_SCORE, Aim, Scores
from btard.lab.adversary.search import Broken, Search, Task, carriers
from btard.lab.adversary.strategy import Clause, Strategy
from tests.lab.adversary.known import GAMBLERS, POISONERS, UNJUDGEABLE

ARENA = Arena(peers=4, byzantine=1, steps=2, long_steps=12)
HASTY = Strategy((Clause(UNJUDGEABLE),))
NOTHING = Scores(0, 0, 0, 1.0, 1.0, 0, 0, 3, 0)


def found(seed: int, generations: int, aims: tuple[Aim, ...]) -> tuple[Search, list[str]]:
    """Search for so many generations in this process."""
    told: list[str] = []
    with carriers(1) as carry_out:
        search = Search(ARENA, seed, carry_out, told.append, aims)
        for _ in range(generations):
            search.step()
    return search, told


@pytest.mark.slow
def test_the_search_finds_what_costs_time() -> None:
    search, told = found(2, 5, (Aim.TIME,))
    (best,) = search.population(Aim.TIME).best(Aim.TIME, 1)
    assert search.plays <= 200 and best.mean(Aim.TIME) > 1.5 * HONEST_SCORE[Aim.TIME]
    first = next(line for line in told if line.startswith("time"))
    assert float(first.split()[1]) < best.mean(Aim.TIME), "later generations find better ones"


def test_the_search_follows_its_seed() -> None:
    first, second, other = (
        list(found(seed, 2, (Aim.POISON,))[0].population(Aim.POISON).candidates) for seed in (5, 5, 6)
    )
    assert first == second != other


def test_a_winner_must_hold_in_fresh_swarms(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was lucky in the search is told not to hold."""

    def carry_out(tasks: Iterable[Task]) -> Iterator[Scores | Broken]:
        for strategy, _, seed in tasks:
            poisoned = 3 if strategy == POISONERS else seed % 2
            yield dataclasses.replace(NOTHING, poisoned=poisoned, honest_out=int(strategy == HASTY and seed < 1))

    search = Search(ARENA, 0, carry_out, print, (Aim.POISON, Aim.HONEST_OUT))
    monkeypatch.setattr(Population, "children", lambda *_: [POISONERS, HASTY])
    search.step()
    poisoner, unlucky = search.winners(40)
    assert (poisoner.aim, poisoner.strategy, poisoner.holds) == (Aim.POISON, POISONERS, True)
    assert (poisoner.fresh.plays, poisoner.fresh.mean, poisoner.fresh.error) == (40, 3.0, 0.0)
    assert (unlucky.aim, unlucky.strategy, unlucky.holds) == (Aim.HONEST_OUT, HASTY, False)
    assert unlucky.searched > unlucky.fresh.mean == 0


def test_few_lucky_plays_are_worth_less_than_many_good_ones() -> None:
    population = Population()
    population.add(GAMBLERS, 0, dataclasses.replace(NOTHING, poisoned=5))
    for seed in range(9):
        population.add(POISONERS, seed, dataclasses.replace(NOTHING, poisoned=4))
    assert [each.strategy for each in population.best(Aim.POISON, 2)] == [POISONERS, GAMBLERS]
    assert population.best(Aim.FORKS, 2) == []


def test_of_two_that_do_alike_the_shorter_one_is_better() -> None:
    population = Population()
    for strategy in (GAMBLERS, POISONERS):
        population.add(strategy, 0, dataclasses.replace(NOTHING, honest_out=1))
    assert population.best(Aim.HONEST_OUT, 1)[0].strategy == POISONERS


def test_an_echo_of_a_strategy_is_forgotten() -> None:
    """One that does the same for the same swarm is no other one; the one with more plays stays."""
    population = Population()
    scores = dataclasses.replace(NOTHING, poisoned=2)
    for strategy, seeds in ((POISONERS, (1,)), (GAMBLERS, (0, 1)), (HASTY, (0,))):
        for seed in seeds:
            population.add(strategy, seed, scores)
    population.forget_echoes(1)
    assert list(population.candidates) == [GAMBLERS, HASTY]


def test_a_play_that_breaks_is_told_with_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(strategy: Strategy, arena: Arena, seed: int) -> Scores:
        if len(strategy.clauses) == 2:
            raise ZeroDivisionError("this peer")
        return play(strategy, arena, seed)

    monkeypatch.setattr(module, "play", breaking)
    search, told = found(1, 2, (Aim.TIME,))
    assert search.broken and all(len(each.strategy.clauses) == 2 for each in search.broken)
    assert str(search.broken[0]) in told and "ZeroDivisionError: this peer" in told[0] and "seed 1000" in told[0]
    assert all(len(strategy.clauses) != 2 for strategy in search.population(Aim.TIME).candidates)


def test_a_search_for_time_leaves_out_divided_votes() -> None:
    """Their price is known; every other aim may have them."""
    drawn = {aim: Population().children(aim, 400, random.Random(3)) for aim in (Aim.TIME, Aim.HONEST_OUT)}
    assert not any(map(divides_votes, drawn[Aim.TIME]))
    assert any(map(divides_votes, drawn[Aim.HONEST_OUT]))
