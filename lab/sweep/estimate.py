"""How long a sweep takes, from a few steps of its dearest kinds of runs."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from btard.errors import UserError
from btard.lab.sweep.grid import PlannedRun
from btard.lab.training.experiment import Experiment
from btard.lab.training.settings import ExperimentSettings
from btard.tensors import torch_threads

_STEPS = 4
_MOST_PROBES = 12
_MOST_SECONDS = 30.0
"""After which no further kind is tried: a forecast is asked for to save time."""

_CHEAP = frozenset(
    {
        "seed",
        "steps",
        "learning_rate",
        "learning_rate_decay",
        "learning_rate_decay_delta",
        "learning_rate_schedule",
        "momentum",
        "weight_decay",
        "dampening",
        "evaluate_every",
        "attack_start",
        "attack_stop",
        "output",
    }
)
"""Settings that hardly change how long a step takes."""


@dataclass(frozen=True)
class SweepEstimate:
    """What a sweep is expected to take.

    Attributes:
        seconds: of all runs together, one at a time; None if no kind that was tried can run.
        probed, kinds: how many kinds of runs were tried, of how many; the others are taken for their mean.
        refusals: why some of those that were tried end at once.
    """

    seconds: float | None
    probed: int
    kinds: int
    refusals: tuple[str, ...] = ()


def estimated(runs: Sequence[PlannedRun], threads: int, most_seconds: float = _MOST_SECONDS) -> SweepEstimate:
    """Time start, a few steps and one evaluation of each kind of run; of many kinds, of some of the most frequent.

    Args:
        threads: of a run.
        most_seconds: after which no further kind is tried.
    """
    with torch_threads(threads):
        return _estimated(runs, most_seconds)


def _estimated(runs: Sequence[PlannedRun], most_seconds: float) -> SweepEstimate:
    kinds: dict[str, list[PlannedRun]] = defaultdict(list)
    for run in runs:
        kinds[_kind(run.settings)].append(run)
    total, timed, refused = 0.0, 0, 0
    refusals: list[str] = []
    begun, probed = time.perf_counter(), 0
    for group in _chosen(list(kinds.values())):
        if probed and time.perf_counter() - begun > most_seconds:
            break
        probed += 1
        try:
            cost = _measured(group[0].settings)
        except UserError as error:
            refusals.append(str(error))
            refused += len(group)
        else:
            total += sum(cost.of(run) for run in group)
            timed += len(group)
    seconds = total + total / timed * (len(runs) - timed - refused) if timed else None
    return SweepEstimate(seconds, probed, len(kinds), tuple(refusals))


def _kind(settings: ExperimentSettings) -> str:
    return settings.model_dump_json(exclude=set(_CHEAP))


def _chosen(kinds: list[list[PlannedRun]]) -> list[list[PlannedRun]]:
    """Return the kinds to try, the most frequent first; among equals any, since neighbours in a grid are alike."""
    shuffled = random.Random(0).sample(kinds, len(kinds))
    return sorted(shuffled, key=len, reverse=True)[:_MOST_PROBES]


@dataclass(frozen=True)
class _Cost:
    """What a kind of run takes: seconds before its first step, of a step, and of an evaluation."""

    start: float
    step: float
    evaluation: float

    def of(self, run: PlannedRun) -> float:
        """Return the seconds of a run."""
        every, steps = run.settings.evaluate_every, run.settings.steps - (run.origin.step if run.origin else 0)
        return self.start + self.step * steps + self.evaluation * (steps // every + 1 if every else 0)


def _measured(settings: ExperimentSettings) -> _Cost:
    """Time a few steps of an attack; the first ones, which choose how to compute, do not count."""
    short = settings.changed(steps=3 * _STEPS, evaluate_every=0, checkpoint_every=0, output=None, attack_start=0)
    Experiment(short)  # what later runs of a process find loaded does not count
    begun = time.perf_counter()
    experiment = Experiment(short)
    start = time.perf_counter() - begun
    experiment.run(until=2 * _STEPS)
    begun = time.perf_counter()
    experiment.run(until=3 * _STEPS)
    step = (time.perf_counter() - begun) / _STEPS
    if not settings.evaluate_every:
        return _Cost(start, step, 0.0)
    measured = Experiment(settings.changed(steps=1, evaluate_every=1, checkpoint_every=0, output=None))
    begun = time.perf_counter()
    measured.run(until=0)
    return _Cost(start, step, time.perf_counter() - begun)
