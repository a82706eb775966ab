"""The strategies that are kept: how each has done so far, and which are the best for an aim."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from btard.identity import MessageKind
from btard.lab.adversary.lies import Contradict
from btard.lab.adversary.mutation import borrowed, crossed, mutated, random_strategy
from btard.lab.adversary.scores import HONEST_SCORE, Aim, Scores
from btard.lab.adversary.strategy import Strategy

KEPT = 12
"""Strategies that are kept for each aim."""

_PARENTS = 6


def divides_votes(strategy: Strategy) -> bool:
    """Whether a strategy may show some members a second report as they vote. What that costs at most is known, and held
    by a test of its own; a search for time would find nothing else."""
    lies = (clause.lie for clause in strategy.clauses)
    return any(isinstance(lie, Contradict) and lie.word is MessageKind.REPORT for lie in lies)


@dataclass
class Candidate:
    """A strategy and its scores, by the seed of the swarm."""

    strategy: Strategy
    plays: dict[int, Scores] = field(default_factory=dict)

    def mean(self, aim: Aim) -> float:
        """Return the mean score over what has been played."""
        return sum(scores.of(aim) for scores in self.plays.values()) / len(self.plays)

    def worth(self, aim: Aim) -> float:
        """Return the mean as if there had been one more play, in which nothing was achieved: a few lucky plays are
        worth less than many good ones."""
        total = sum(scores.of(aim) for scores in self.plays.values())
        return (total + HONEST_SCORE[aim]) / (len(self.plays) + 1)

    @property
    def size(self) -> int:
        """How much there is to say of the strategy: of two that do alike, the shorter one is the better one."""
        return sum(1 + len(clause.conditions) for clause in self.strategy.clauses)


class Population:
    """The best candidates for each aim, and where new ones come from."""

    def __init__(self) -> None:
        self.candidates: dict[Strategy, Candidate] = {}

    def add(self, strategy: Strategy, seed: int, scores: Scores) -> None:
        """Note one play."""
        self.candidates.setdefault(strategy, Candidate(strategy)).plays[seed] = scores

    def remove(self, strategy: Strategy) -> None:
        """Forget a strategy."""
        self.candidates.pop(strategy, None)

    def best(self, aim: Aim, count: int) -> list[Candidate]:
        """Return the best that achieve anything, the very best one first."""
        worthy = [each for each in self.candidates.values() if each.worth(aim) > HONEST_SCORE[aim]]
        return sorted(worthy, key=lambda each: (-each.worth(aim), each.size))[:count]

    def forget_echoes(self, seed: int) -> None:
        """Of strategies that achieve exactly the same in a swarm, keep the one that is known best, else the shortest: a
        lie that is never told must not fill the places of others."""
        there = [each for each in self.candidates.values() if seed in each.plays]
        first: dict[Scores, Candidate] = {}
        for each in sorted(there, key=lambda each: (-len(each.plays), each.size)):
            if first.setdefault(each.plays[seed], each) is not each:
                self.remove(each.strategy)

    def prune(self) -> None:
        """Forget what is among the best for no aim."""
        kept = {each.strategy for aim in Aim for each in self.best(aim, KEPT)}
        self.candidates = {strategy: each for strategy, each in self.candidates.items() if strategy in kept}

    def children(self, aim: Aim, count: int, chance: random.Random) -> list[Strategy]:
        """Draw new strategies: from the best for the aim, from the best for all aims, and from nothing."""
        best = [each.strategy for each in self.best(aim, _PARENTS)]
        everybody = list(self.candidates)
        children: dict[Strategy, None] = {}
        while len(children) < count:
            parents = best if best and chance.random() < 0.75 else everybody
            child = self._child(parents, everybody, chance)
            if child.clauses and child not in self.candidates and not (aim is Aim.TIME and divides_votes(child)):
                children[child] = None
        return list(children)

    @staticmethod
    def _child(known: Sequence[Strategy], everybody: Sequence[Strategy], chance: random.Random) -> Strategy:
        move = chance.random()
        if not known or move < 0.2:
            return random_strategy(chance)
        if move < 0.4:
            return borrowed(chance.choice(known), chance.choice(everybody), chance)
        if move < 0.6:
            child = crossed(chance.choice(known), chance.choice(everybody), chance)
            return child if chance.random() < 0.5 else mutated(child, chance)
        return mutated(chance.choice(known), chance)
