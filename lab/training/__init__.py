"""The laboratory's training engine: hundreds of workers in one process, some of whom lie, on any task and rule.

`settings` says what a run is, with the words of `choices`; `experiment` runs it, `step` is one step, `aggregation` the
way to one vector, `learning_rate` the schedule, `optimizer` Adam and LAMB, `row_memory` where vectors lie. `checkpoint`
is the state that a run goes on from, `run_directory` what it leaves, `published` its settings as published. `protocol`
is the same training by the whole BTARD protocol. `workers` compute, `attackers` lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from btard.lab.training.settings import ExperimentSettings

if TYPE_CHECKING:
    from btard.lab.training.experiment import Experiment

__all__ = ["Experiment", "ExperimentSettings"]


def __getattr__(name: str) -> object:
    """Import the engine when it is used: settings alone need no torch."""
    if name == "Experiment":
        from btard.lab.training.experiment import Experiment

        return Experiment
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
