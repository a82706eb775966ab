"""The two places where runs happen, as a sweep sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from btard.lab.sweep.missing_runs import Engine
from btard.lab.sweep.running import Order, Outcome
from btard.lab.sweep.settings import ManyRunsSettings, SweepEngine


def engine_of(settings: ManyRunsSettings) -> Engine:
    """Return what carries out runs where the settings say.

    Raises:
        UserError: Ray is not installed, or its cluster cannot be reached.
    """
    match settings.engine:
        case SweepEngine.LOCAL:
            return _local(settings.at_a_time, settings.threads)
        case SweepEngine.RAY:
            from btard.lab.sweep.cluster import on_cluster

            return on_cluster(settings.ray_address, settings.jobs)


def _local(jobs: int, threads: int) -> Engine:
    def run(orders: Sequence[Order], stopped: Callable[[], bool]) -> Iterator[tuple[Order, Outcome]]:
        from btard.lab.sweep.local import run_locally

        for order in orders:
            Path(order.output).parent.mkdir(parents=True, exist_ok=True)
        return run_locally(orders, jobs=jobs, threads=threads, stopped=stopped)

    return run
