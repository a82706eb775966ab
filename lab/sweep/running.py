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

from btard.errors import UserError
from btard.lab.sweep.forks import Origin, forked
from btard.lab.training.settings import ExperimentSettings


class RunEnd(StrEnum):
    """How a run has ended."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True)
class Order:
    """A run that is to be done: its settings as text, since they travel, where its files go, and what it forks from."""

    settings_json: str
    output: Path
    origin: Origin | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a run, and why if it failed."""

    end: RunEnd
    reason: str = ""


def carry_out(order: Order) -> Outcome:
    """Do a run, or go on with one that was interrupted; whatever it raises is its own failure."""
    from btard.lab.training.experiment import Experiment

    try:
        settings = ExperimentSettings.model_validate_json(order.settings_json).changed(output=order.output)
        begun = Experiment(settings) if order.origin is None else forked(order.origin, settings)
        if begun is None:
            return Outcome(RunEnd.INTERRUPTED)
        experiment = begun.run()
    except Exception as error:
        reason = str(error) if isinstance(error, UserError) else "".join(traceback.format_exception_only(error)).strip()
        return Outcome(RunEnd.FAILED, reason)
    return Outcome(RunEnd.INTERRUPTED if experiment.interrupted else RunEnd.COMPLETE)


def serve(orders: Connection, threads: int) -> None:
    """Carry out what comes over a pipe until it closes; the main function of a process.

    Args:
        orders: gives Orders, takes Outcomes.
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
