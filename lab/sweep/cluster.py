"""Runs on a Ray cluster. Machines share no disk: what a run leaves comes back with its outcome, and is written here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from btard.errors import UserError
from btard.lab.sweep.forks import Origin
from btard.lab.sweep.missing_runs import Engine
from btard.lab.sweep.running import Order, Outcome, RunEnd, carry_out

_WAIT_SECONDS = 0.5
_AHEAD = 2
"""Runs that wait at the cluster for each that it can do at a time."""

Files = dict[str, bytes]


def on_cluster(address: str | None, jobs: int | None) -> Engine:
    """Return an engine that gives runs to a Ray cluster.

    Args:
        address: of the cluster; None starts one on this machine.
        jobs: how many runs at a time, None for as many as the cluster has cores.

    Raises:
        UserError: Ray is not installed, or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError:
        raise UserError("--engine ray needs Ray: install the extra with pip install 'btard[ray]'") from None
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, include_dashboard=False if address is None else None)
        except ConnectionError as error:
            raise UserError(f"--ray-address is {address}, where no Ray cluster answers: {error}") from None
    cores = int(ray.cluster_resources().get("CPU", 1))

    def run(orders: Sequence[Order], stopped: Callable[[], bool]) -> Iterator[tuple[Order, Outcome]]:
        return _run(ray, orders, jobs or cores, stopped)

    return run


def _run(ray: Any, orders: Sequence[Order], jobs: int, stopped: Callable[[], bool]) -> Iterator[tuple[Order, Outcome]]:
    remote = ray.remote(num_cpus=1, max_retries=0)(_away)
    waiting = list(reversed(orders))
    under_way: dict[Any, Order] = {}
    while waiting or under_way:
        if stopped():
            waiting.clear()
            for reference in under_way:
                ray.cancel(reference, force=True)
        while waiting and len(under_way) < _AHEAD * jobs:
            order = waiting.pop()
            under_way[remote.remote(order.settings_json, order.origin)] = order
        if not under_way:
            return
        ready, _ = ray.wait(list(under_way), timeout=_WAIT_SECONDS)
        for reference in ready:
            order = under_way.pop(reference)
            yield order, _received(ray, reference, order, stopped())


def _received(ray: Any, reference: Any, order: Order, was_stopped: bool) -> Outcome:
    try:
        outcome, files = ray.get(reference)
    except ray.exceptions.RayError as error:
        if was_stopped:
            return Outcome(RunEnd.INTERRUPTED)
        return Outcome(RunEnd.FAILED, f"the cluster lost it: {str(error).splitlines()[0]}")
    target = order.output if outcome.end is RunEnd.COMPLETE else order.output.with_name(order.output.name + ".failed")
    _write(files, target)
    return outcome


def _away(settings_json: str, origin: Origin | None) -> tuple[Outcome, Files]:
    """Do a run in a temporary folder of whichever machine this is, and return all that it leaves."""
    with tempfile.TemporaryDirectory(prefix="btard-lab-") as folder:
        outcome = carry_out(Order(settings_json, Path(folder) / "run", origin))
        (left,) = list(Path(folder).iterdir()) or [Path(folder)]
        files = {str(path.relative_to(left)): path.read_bytes() for path in left.rglob("*") if path.is_file()}
        return replace(outcome), files


def _write(files: Files, target: Path) -> None:
    """Write files beside the target first, so that an interrupted copy is no complete run."""
    partial = target.with_name(target.name + ".copying")
    for name, data in files.items():
        path = partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    if partial.exists():
        partial.rename(target)
