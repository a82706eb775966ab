"""How long the runs of a study take, from a few steps of some of them."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from btard.lab.reproductions.staged.run import StagedRun
from btard.lab.sweep.estimate import SweepEstimate
from btard.tensors import torch_threads

_SHORT, _LONGER = 1, 5
"""Steps of the two runs whose difference tells what a step takes."""

_MOST_PROBES = 8
_MOST_SECONDS = 12.0


@dataclass(frozen=True)
class _Cost:
    """What a run takes beside its steps, and for each of them, in seconds."""

    start: float
    step: float


def forecast(runs: Sequence[StagedRun], most_seconds: float = _MOST_SECONDS) -> SweepEstimate:
    """Time the first steps of some kinds of runs, each study's class of runs at least once.

    Args:
        runs: at least one.
        most_seconds: after which no further kind is tried.
    """
    kinds: dict[str, StagedRun] = {}
    for run in runs:
        kinds.setdefault(f"{type(run).__name__} {run.model_dump_json(exclude={'seed'})}", run)
    costs: defaultdict[type[StagedRun], list[_Cost]] = defaultdict(list)
    begun = time.perf_counter()
    with torch_threads(1), TemporaryDirectory() as home:
        for run in _chosen(list(kinds.values())):
            if costs[type(run)] and time.perf_counter() - begun > most_seconds:
                continue
            costs[type(run)].append(_measured(run, Path(home), warm=bool(costs[type(run)])))
    seconds = 0.0
    for run in runs:
        known = costs[type(run)]
        seconds += sum(one.start + one.step * run.length for one in known) / len(known)
    return SweepEstimate(seconds, sum(map(len, costs.values())), len(kinds))


def _chosen(kinds: Sequence[StagedRun]) -> list[StagedRun]:
    """Return kinds in the order in which they are tried: one of each class first, then any."""
    shuffled = random.Random(0).sample(kinds, len(kinds))
    first = {type(run): run for run in reversed(shuffled)}.values()
    return [*first, *(run for run in shuffled if all(run is not one for one in first))][:_MOST_PROBES]


def _measured(run: StagedRun, home: Path, *, warm: bool) -> _Cost:
    short, longer = run.shortened(_SHORT), run.shortened(_LONGER)
    if not warm:
        short.carry_out(home)  # what later runs of a process find loaded does not count
    seconds = []
    for one in (short, longer):
        begun = time.perf_counter()
        one.carry_out(home)
        seconds.append(time.perf_counter() - begun)
    step = max(0.0, seconds[1] - seconds[0]) / (longer.length - short.length)
    return _Cost(max(0.0, seconds[0] - step * short.length), step)
