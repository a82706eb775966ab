"""Processes of this machine that are kept busy with runs. One that dies costs its run, and is replaced."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Generic, TypeVar

from btard.lab.sweep.running import Job, Outcome, RunEnd, serve

E = TypeVar("E", bound=Job)

_CONTEXT = multiprocessing.get_context("spawn")
_POLL_SECONDS = 0.5
_END_SECONDS = 30.0


@dataclass
class _Worker(Generic[E]):
    process: SpawnProcess
    pipe: Connection
    order: E | None = None


def run_locally(
    orders: Sequence[E], *, jobs: int, threads: int, stopped: Callable[[], bool]
) -> Iterator[tuple[E, Outcome]]:
    """Carry out orders in `jobs` processes with `threads` threads each, and yield what became of each as it ends.

    Once `stopped` says so, nothing is begun any more, and the runs under way end after their step.
    """
    waiting = deque(orders)
    workers: list[_Worker[E]] = [_started(threads) for _ in range(min(jobs, len(orders)))]
    asked_to_stop = False
    try:
        while True:
            if stopped() and not asked_to_stop:
                asked_to_stop = True
                waiting.clear()
                for worker in workers:
                    if worker.order is not None and worker.process.is_alive():
                        worker.process.terminate()  # a run notes SIGTERM, and ends after its step, or as a whole
            for worker in workers:
                if worker.order is None and waiting:
                    worker.order = waiting.popleft()
                    worker.pipe.send(worker.order)
            busy = [worker for worker in workers if worker.order is not None]
            if not busy:
                return
            for pipe in wait([worker.pipe for worker in busy], timeout=_POLL_SECONDS):
                worker = next(one for one in busy if one.pipe is pipe)
                order, outcome = _told(worker, asked_to_stop)
                if not worker.process.is_alive() and waiting:
                    workers[workers.index(worker)] = _started(threads)
                yield order, outcome
    finally:
        for worker in workers:
            _end(worker)


def _started(threads: int) -> _Worker[E]:
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=serve, args=(theirs, threads), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _told(worker: _Worker[E], asked_to_stop: bool) -> tuple[E, Outcome]:
    order = worker.order
    assert order is not None
    worker.order = None
    try:
        return order, worker.pipe.recv()
    except (EOFError, ConnectionError):
        worker.process.join()
        code = worker.process.exitcode
        if asked_to_stop and code == -signal.SIGTERM:  # it came before the run listened to it
            return order, Outcome(RunEnd.INTERRUPTED)
        return order, Outcome(RunEnd.FAILED, f"its process ended with exit code {code}")


def _end(worker: _Worker[E]) -> None:
    worker.pipe.close()
    worker.process.join(_END_SECONDS if worker.order is None else 0)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
