"""A coordinator and peers of a pipeline, as real processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from btard.deploy.local.nursery_client import NurseryClient
from btard.deploy.pipeline.processes import PRELOAD, StageProcesses, StageProcessesPlan, environment


@contextmanager
def running(plan: StageProcessesPlan, *, in_order: bool = False) -> Iterator[StageProcesses]:
    """Inside, all processes of a plan have been started; afterwards none is left."""
    with NurseryClient(PRELOAD, environment(), plan.directory / "nursery.log") as nursery:
        nursery.wait_ready()
        processes = StageProcesses(plan, nursery)
        processes.start(in_order=in_order)
        yield processes
