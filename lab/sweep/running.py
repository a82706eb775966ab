"""One run in a process of its own, which does one after the other until it is told to end."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from btard.errors import UserError
from btard.lab.sweep.forks import Origin, forked
from btard.lab.training.settings import ExperimentSettings


class RunEnd(StrEnum):
    """How a run has ended."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class Job(Protocol):
    """What a process is told to do; it travels there by pickle."""

    def do(self) -> RunEnd:
        """Do it, and return how it has ended; whatever it raises is its own failure."""


@dataclass(frozen=True)
class Order:
    """A run that is to be done: its settings as text, since they travel, where its files go, and what it forks from."""

    settings_json: str
    output: Path
    origin: Origin | None = None

    def do(self) -> RunEnd:
        """Do the run, or go on with one that was interrupted."""
        from btard.lab.training.experiment import Experiment

        settings = ExperimentSettings.model_validate_json(self.settings_json).changed(output=self.output)
        begun = Experiment(settings) if self.origin is None else forked(self.origin, settings)
        if begun is None:
            return RunEnd.INTERRUPTED
        return RunEnd.INTERRUPTED if begun.run().interrupted else RunEnd.COMPLETE


@dataclass(frozen=True)
class Outcome:
    """What became of a run, and why if it failed."""

    end: RunEnd
    reason: str = ""


def carry_out(job: Job) -> Outcome:
    """Do a job, and return what became of it."""
    try:
        return Outcome(job.do())
    except Exception as error:
        reason = str(error) if isinstance(error, UserError) else "".join(traceback.format_exception_only(error)).strip()
        return Outcome(RunEnd.FAILED, reason)


def serve(orders: Connection, threads: int) -> None:
    """Carry out what comes over a pipe until it closes; the main function of a process.

    Args:
        orders: gives jobs, takes Outcomes.
        threads: of torch.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's goes to the whole group; the parent passes on its own
    import torch

    torch.set_num_threads(threads)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, sys.stdout.fileno())
    while True:
        try:
            order = orders.recv()
        except EOFError:
            return
        orders.send(carry_out(order))
