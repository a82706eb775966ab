"""One replica of a stage in the rounds of all: a simulated peer that rests while the pipelines compute."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from btard.executor import Executor
from btard.pipeline.replicas.executor import ReplicaExecutor
from btard.round.actions import Finished
from btard.round.roster import Roster
from btard.transport.memory import SimulatedPeer
from btard.vectors.partition import from_wire


@dataclass
class ReplicaPeer(SimulatedPeer):
    """A peer whose step ends in two halves: the round gives the average, and then the pipeline changes the weights.

    Attributes:
        outcome: of the round that has finished last.
    """

    executor_type: ClassVar[type[Executor]] = ReplicaExecutor

    outcome: Finished | None = field(default=None)

    def begin(self, roster: Roster) -> None:
        self.last_step = roster.step  # after it the pipeline goes on
        super().begin(roster)

    def finish(self, result: Finished) -> None:
        self.outcome = result

    def average(self) -> torch.Tensor:
        """Return what the last round has come to, float32 of shape (d,); of one that has finished."""
        assert self.outcome is not None
        return from_wire(self.outcome.flat, self.rules.wire).clone()

    def stepped(self) -> None:
        """End the step: the pipeline has changed the weights by the average."""
        assert self.outcome is not None
        super().finish(self.outcome)
