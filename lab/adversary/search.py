"""The search: one aim after the other, new strategies from good ones, and what is best played again in fresh swarms."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle

from btard.lab.adversary.mutation import simpler
from btard.lab.adversary.play import Arena, play
from btard.lab.adversary.population import Candidate, Population
from btard.lab.adversary.scores import HONEST_SCORE, MOST_SCORE, Aim, Scores
from btard.lab.adversary.strategy import Strategy, to_json
from btard.lab.stress.soak import PATIENCE_SECONDS, TooLongError, limited

_CHILDREN, _AGAIN = 10, 4
_SEEDS_OF_A_SEARCH, _FRESH, _SIMPLER = 10**6, 5 * 10**5, 9 * 10**5
_DOUBTED, _ROUNDS, _MORE = 8, 3, 4
"""Plays below which a strategy that comes first is played again at once, in how many rounds, and how often in each."""

_SEEDS_OF_A_GENERATION = 1 + _ROUNDS * _MORE
_SURE = 1.96

Task = tuple[Strategy, Arena, int]
"""A strategy, a swarm, and the seed of it."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Broken:
    """A play that ended in an exception: a find of its own, or a defect of the laboratory."""

    seed: int
    strategy: Strategy
    why: str

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.why}; the strategy: {to_json(self.strategy)}"


@dataclass(frozen=True)
class Fresh:
    """A mean over swarms that the search has not seen.

    Attributes:
        error: half of the 95 % interval of the mean.
    """

    plays: int
    mean: float
    error: float


@dataclass(frozen=True)
class Winner:
    """The best strategy for an aim, without what makes no difference.

    Attributes:
        found_after: plays of the search until it was the best, and `found_seconds` the time.
        searched: its mean in the search.
        fresh: its mean in fresh swarms.
        holds: whether it beats an honest strategy there by more than chance.
        seed: of one fresh swarm, and `scores` what it achieves in it, to be replayed.
    """

    aim: Aim
    strategy: Strategy
    found_after: int
    found_seconds: float
    searched: float
    fresh: Fresh
    holds: bool
    seed: int
    scores: Scores

    @property
    def exceeds(self) -> bool:
        """Whether it does more than the protocol promises that no strategy does."""
        return self.holds and self.fresh.mean > MOST_SCORE.get(self.aim, math.inf)


def _carry_out(task: Task) -> Scores | Broken:
    """Play once, within bounded time; what goes wrong is told, not raised."""
    strategy, arena, seed = task
    try:
        with limited(PATIENCE_SECONDS):
            return play(strategy, arena, seed)
    except TooLongError as error:
        return Broken(seed, strategy, str(error))
    except Exception as error:
        return Broken(seed, strategy, f"{type(error).__name__}: {error}")


Carrier = Callable[[Iterable[Task]], Iterator[Scores | Broken]]


@contextmanager
def carriers(workers: int) -> Iterator[Carrier]:
    """Inside, tasks are carried out in so many processes, none but this one for 1; results come in order."""
    if workers == 1:
        yield lambda tasks: map(_carry_out, tasks)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield lambda tasks: pool.map(_carry_out, tasks)


class Search:
    """A search for the best strategies. It goes as its seed says; the clock only says when it ends.

    Attributes:
        plays: how many swarms have been run.
        populations: the candidates of the aims that are measured in one arena.
        broken: plays that ended in an exception.
    """

    def __init__(
        self, arena: Arena, seed: int, carry_out: Carrier, tell: Tell, aims: Sequence[Aim] = tuple(Aim)
    ) -> None:
        self.arena = arena
        self.plays = 0
        self.broken: list[Broken] = []
        self.populations = {arena.measuring(aim): Population() for aim in aims}
        self._seed = seed
        self._chance = random.Random(seed)
        self._carry_out = carry_out
        self._tell = tell
        self._aims = aims
        self._turns = cycle(aims)
        self._generation = 0
        self._started = time.monotonic()
        self._found: dict[Aim, tuple[Strategy, int, float]] = {}

    def seconds(self) -> float:
        """Return for how long it has been going on."""
        return time.monotonic() - self._started

    def run(self, seconds: float) -> None:
        """Search for so long; what has begun is done."""
        while self.seconds() < seconds:
            self.step()

    def step(self) -> None:
        """One generation: children of the best for the aim whose turn it is, and the best once more, in a new swarm."""
        aim = next(self._turns)
        arena, population = self.arena.measuring(aim), self.population(aim)
        first = self._seed * _SEEDS_OF_A_SEARCH + _SEEDS_OF_A_GENERATION * self._generation
        again = [each.strategy for each in population.best(aim, _AGAIN)]
        children = population.children(aim, _CHILDREN, self._chance)
        self._play([(strategy, arena, first) for strategy in (*again, *children)])
        population.forget_echoes(first)
        self._doubt(aim, first + 1)
        population.prune()
        self._generation += 1
        for each in self._aims:
            self._note_best(each)

    def population(self, aim: Aim) -> Population:
        """Return the candidates for an aim."""
        return self.populations[self.arena.measuring(aim)]

    def _doubt(self, aim: Aim, first: int) -> None:
        """Play what comes first by few plays some more times."""
        for round_ in range(_ROUNDS):
            best = self.population(aim).best(aim, 1)
            if not best or len(best[0].plays) >= _DOUBTED:
                return
            seeds = range(first + round_ * _MORE, first + (round_ + 1) * _MORE)
            self._play([(best[0].strategy, self.arena.measuring(aim), seed) for seed in seeds])

    def _play(self, tasks: Sequence[Task]) -> None:
        broken = []
        for (strategy, arena, seed), result in zip(tasks, self._carry_out(tasks), strict=True):
            self.plays += 1
            if isinstance(result, Broken):
                broken.append(result)
                self._tell(str(result))
            else:
                self.populations[arena].add(strategy, seed, result)
        for each in broken:
            for population in self.populations.values():
                population.remove(each.strategy)
        self.broken += broken

    def _note_best(self, aim: Aim) -> None:
        best = self.population(aim).best(aim, 1)
        if best and (aim not in self._found or self._found[aim][0] != best[0].strategy):
            self._found[aim] = (best[0].strategy, self.plays, self.seconds())
            self._tell(
                f"{aim} {best[0].mean(aim):.4g} after {self.plays} plays, {self.seconds():.0f} s: {best[0].strategy}"
            )

    def winners(self, fresh: int) -> list[Winner]:
        """Play the best of each aim in fresh swarms, and return those that there are."""
        found = [(aim, self.population(aim).best(aim, 1)) for aim in self._aims]
        return [winner for aim, best in found if best for winner in self._confirm(aim, best[0], fresh)]

    def _scored(self, strategy: Strategy, aim: Aim, first: int, count: int) -> dict[int, Scores]:
        """Return the scores in so many swarms, by seed; what breaks is noted."""
        tasks = [(strategy, self.arena.measuring(aim), first + i) for i in range(count)]
        results = list(self._carry_out(tasks))
        self.broken += [result for result in results if isinstance(result, Broken)]
        return {seed: each for (_, _, seed), each in zip(tasks, results, strict=True) if isinstance(each, Scores)}

    def _simplified(self, strategy: Strategy, aim: Aim, swarms: int) -> Strategy:
        """Return a strategy without what makes no difference for an aim, in so many swarms."""
        first = self._seed * _SEEDS_OF_A_SEARCH + _SIMPLER
        needed = _total(self._scored(strategy, aim, first, swarms), aim)
        shorter = simpler(strategy)
        while shorter:
            tried = shorter.pop(0)
            if tried.clauses and _total(self._scored(tried, aim, first, swarms), aim) >= needed:
                strategy, shorter = tried, simpler(tried)
        return strategy

    def _confirm(self, aim: Aim, best: Candidate, count: int) -> Iterator[Winner]:
        strategy = self._simplified(best.strategy, aim, min(count, _DOUBTED))
        scores = self._scored(strategy, aim, self._seed * _SEEDS_OF_A_SEARCH + _FRESH, count)
        if not scores:
            return
        values = [each.of(aim) for each in scores.values()]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        mean, error = statistics.fmean(values), _SURE * spread * len(values) ** -0.5
        seed = max(scores, key=lambda each: scores[each].of(aim))
        _, after, seconds = self._found[aim]
        holds = mean - error > HONEST_SCORE[aim]
        told = Fresh(len(values), mean, error)
        yield Winner(aim, strategy, after, seconds, best.mean(aim), told, holds, seed, scores[seed])


def _total(scores: dict[int, Scores], aim: Aim) -> float:
    return sum(each.of(aim) for each in scores.values())
