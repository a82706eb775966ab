"""Strategies drawn at random, changed a little, and crossed; everything by a given source of chance."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import fields
from typing import Any, get_args

from btard.behaviour import LeaveReason
from btard.identity import MessageKind
from btard.lab.adversary.conditions import NUMBERED_FACTS, RECEIVER_FACTS, Condition, Fact
from btard.lab.adversary.lies import WORDS, Accuse, LetterLie, Lie, Opine, Twist, WhichPart, Whom
from btard.lab.adversary.strategy import MOST_CLAUSES, MOST_CONDITIONS, Clause, Strategy
from btard.round.messages.accusations import ChargeKind, Fault, Opinion
from btard.round.messages.bodies import Phase

PALETTE: dict[str, tuple[Any, ...]] = {
    "twist": tuple(Twist),
    "scale": (0.0, 0.5, 2.0, 10.0, 1000.0),
    "charge": tuple(ChargeKind),
    "whom": tuple(Whom),
    "where": tuple(WhichPart),
    "opinion": tuple(Opinion),
    "word": tuple(word for word in WORDS if word not in (MessageKind.ASK, MessageKind.CERTIFICATE)),
    "seconds": (0.005, 0.01, 0.02, 0.05, 0.5, 2.0, 5.0, 15.0),
    "fault": tuple(Fault),
    "phase": tuple(Phase),
    "reason": (LeaveReason.SHUTDOWN,),
}
"""What is drawn for a lie's fields. A peer that leaves by lottery is banned by its own word, and what is
hardly ever said is not worth a lie."""

_WAITS = (0.0, 0.0, 0.005, 0.015, 0.025, 0.05, 0.5)
_NUMBERS = (1, 1, 2, 3, 4)
_LIES: tuple[type[Lie], ...] = get_args(Lie)


def random_strategy(chance: random.Random) -> Strategy:
    """Draw a strategy of one or two clauses."""
    return Strategy(tuple(_clause(chance) for _ in range(chance.choice((1, 1, 2)))))


def mutated(strategy: Strategy, chance: random.Random) -> Strategy:
    """Return a strategy that differs by one change, or now and then by several."""
    while True:
        strategy = _changed(strategy, chance)
        if chance.random() < 0.6:
            return strategy


def crossed(first: Strategy, second: Strategy, chance: random.Random) -> Strategy:
    """Return a strategy with clauses of both, at least one of them; or the first one, in which a lie of the second is
    told in place of another."""
    if first.clauses and second.clauses and chance.random() < 0.4:
        clauses = list(first.clauses)
        place = chance.randrange(len(clauses))
        clauses[place] = dataclasses.replace(clauses[place], lie=chance.choice(second.clauses).lie)
        return Strategy(tuple(clauses))
    both = [clause for clause in (*first.clauses, *second.clauses) if chance.random() < 0.7]
    kept = tuple(dict.fromkeys(both))[:MOST_CLAUSES]
    return Strategy(kept or first.clauses)


def borrowed(first: Strategy, second: Strategy, chance: random.Random) -> Strategy:
    """Return the first strategy with a clause of the second, which is told on one more condition: what works for one
    aim may help another where it is told more rarely."""
    clause = chance.choice(second.clauses)
    conditions = (*clause.conditions, _condition(clause.lie, chance))[-MOST_CONDITIONS:]
    clauses = (*first.clauses, dataclasses.replace(clause, conditions=conditions))
    return Strategy(clauses[-MOST_CLAUSES:])


def simpler(strategy: Strategy) -> list[Strategy]:
    """Return all strategies with one clause, one condition or one wait less."""
    found = []
    for place, clause in enumerate(strategy.clauses):
        fewer = [
            (*clause.conditions[:which], *clause.conditions[which + 1 :]) for which in range(len(clause.conditions))
        ]
        changed = [dataclasses.replace(clause, conditions=conditions) for conditions in fewer]
        changed += [dataclasses.replace(clause, wait=0.0)] if clause.wait else []
        before, after = strategy.clauses[:place], strategy.clauses[place + 1 :]
        found.append(Strategy(before + after))
        found += [Strategy((*before, each, *after)) for each in changed]
    return found


def _changed(strategy: Strategy, chance: random.Random) -> Strategy:
    clauses = list(strategy.clauses)
    place = chance.randrange(len(clauses)) if clauses else 0
    move = chance.random()
    if not clauses or (move < 0.2 and len(clauses) < MOST_CLAUSES):
        clauses.insert(place, _clause(chance))
    elif move < 0.35 and len(clauses) > 1:
        del clauses[place]
    else:
        clauses[place] = _changed_clause(clauses[place], chance)
    return Strategy(tuple(clauses))


def _changed_clause(clause: Clause, chance: random.Random) -> Clause:
    conditions, move = list(clause.conditions), chance.random()
    if move < 0.4:
        return dataclasses.replace(clause, lie=_changed_lie(clause.lie, chance))
    if move < 0.5 and isinstance(clause.lie, LetterLie):
        return dataclasses.replace(clause, wait=chance.choice(_WAITS))
    if conditions and move < 0.7:
        del conditions[chance.randrange(len(conditions))]
    elif conditions and move < 0.8:
        place = chance.randrange(len(conditions))
        conditions[place] = dataclasses.replace(conditions[place], holds=not conditions[place].holds)
    elif len(conditions) < MOST_CONDITIONS:
        conditions.append(_condition(clause.lie, chance))
    return dataclasses.replace(clause, conditions=tuple(conditions))


def _clause(chance: random.Random) -> Clause:
    kind = chance.choice(_LIES)
    lie = kind(**{field.name: _drawn(field.name, chance) for field in fields(kind) if field.name != "name"})
    conditions = tuple(_condition(lie, chance) for _ in range(chance.choice((0, 1, 1, 2))))
    return Clause(lie, conditions, chance.choice(_WAITS) if isinstance(lie, LetterLie) else 0.0)


def _changed_lie(lie: Lie, chance: random.Random) -> Lie:
    name = chance.choice([field.name for field in fields(lie) if field.name != "name"])
    return dataclasses.replace(lie, **{name: _drawn(name, chance)})


def _drawn(field: str, chance: random.Random) -> Any:
    return chance.choice(PALETTE[field])


def _condition(lie: Lie, chance: random.Random) -> Condition:
    """Draw a condition that says something about this lie."""
    unfit = set() if isinstance(lie, LetterLie) else set(RECEIVER_FACTS)
    unfit |= set() if isinstance(lie, Accuse) else {Fact.PHASE}
    unfit |= set() if isinstance(lie, Opine) else {Fact.ABOUT_HONEST}
    fact = chance.choice([fact for fact in Fact if fact not in unfit])
    number = chance.choice(_NUMBERS) if fact in NUMBERED_FACTS else 0
    if fact is Fact.PHASE:
        number = int(chance.choice((Phase.COMMIT, Phase.MEASURE, Phase.CHECK)))
    return Condition(fact, chance.random() < 0.7, number)
