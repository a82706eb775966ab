"""Strategies are written and read again, and stay valid whatever mutation does."""

from __future__ import annotations

import json
import random

import pytest

from btard.identity import MessageKind
from btard.lab.adversary.lies import Accuse, LetterLie, Lie, Withhold
from btard.lab.adversary.mutation import borrowed, crossed, mutated, random_strategy, simpler
from btard.lab.adversary.strategy import MOST_CLAUSES, MOST_CONDITIONS, Clause, Strategy, from_json, to_json
from tests.lab.adversary.known import GAMBLERS, QUARREL


def many(count: int) -> list[Strategy]:
    """Return strategies as a search meets them: drawn, changed and crossed."""
    chance = random.Random(7)
    found = [random_strategy(chance) for _ in range(20)]
    while len(found) < count:
        child = chance.choice((crossed, borrowed))(chance.choice(found), chance.choice(found), chance)
        found.append(mutated(child, chance))
    return found


def test_a_strategy_is_read_as_it_was_written() -> None:
    for strategy in (Strategy(), QUARREL, GAMBLERS, *many(400)):
        assert from_json(to_json(strategy)) == strategy


def test_enumerations_are_written_by_name() -> None:
    (clause,) = json.loads(to_json(Strategy((Clause(Withhold(MessageKind.REVEAL)),))))["clauses"]
    assert clause["lie"] == {"word": "REVEAL", "name": "withhold"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"WRONG_AGGREGATE"', '"NO_CHARGE"'),
        ('"accuse"', '"no lie"'),
        ('"wait":0.0', '"wait":-1'),
        ('"FIRST_MATE"', "3"),
    ],
)
def test_what_is_no_strategy_is_refused(old: str, new: str) -> None:
    text = to_json(QUARREL)
    assert old in text
    with pytest.raises(ValueError):
        from_json(text.replace(old, new))


def test_mutation_keeps_a_strategy_within_its_bounds() -> None:
    found = many(2000)
    assert all(1 <= len(strategy.clauses) <= MOST_CLAUSES for strategy in found)
    assert max(len(strategy.clauses) for strategy in found) > 4
    assert all(len(clause.conditions) <= MOST_CONDITIONS for strategy in found for clause in strategy.clauses)


def test_mutation_reaches_every_lie() -> None:
    reached = {type(clause.lie) for strategy in many(400) for clause in strategy.clauses}
    assert reached == set(Lie.__args__)
    assert Accuse not in LetterLie.__args__


def test_mutation_changes_something_and_follows_its_chance() -> None:
    for strategy in many(100):
        first, second = (mutated(strategy, random.Random(3)) for _ in range(2))
        assert first == second
    changed = sum(mutated(strategy, random.Random(5)) != strategy for strategy in many(100))
    assert changed > 80


def test_a_strategy_is_told_in_words() -> None:
    assert str(Strategy()) == "honest"
    assert str(QUARREL) == "Accuse(WRONG_AGGREGATE, ANYBODY, THEIRS) if FIRST_MATE"


def test_a_clause_that_is_borrowed_is_told_more_rarely() -> None:
    for seed in range(20):
        borrower = borrowed(GAMBLERS, QUARREL, random.Random(seed))
        assert borrower.clauses[:-1] == GAMBLERS.clauses
        assert borrower.clauses[-1].lie == QUARREL.clauses[0].lie
        assert borrower.clauses[-1].conditions[:-1] == QUARREL.clauses[0].conditions


def test_simpler_strategies_lack_one_thing_each() -> None:
    found = simpler(GAMBLERS)
    assert len(found) == len(GAMBLERS.clauses) + sum(len(clause.conditions) for clause in GAMBLERS.clauses)
    assert len(set(found)) == len(found) and GAMBLERS not in found
    assert Strategy() in simpler(Strategy((Clause(Withhold(MessageKind.REVEAL)),)))
