"""A stage of one of several pipelines: between its passes and its step it waits for the average of all replicas."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from btard.pipeline.justice.accusation import Accusation
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.plan import StageEffect
from btard.pipeline.replicas.gradients import flat_gradient, set_flat_gradient
from btard.pipeline.replicas.record import ReplicaRecord
from btard.pipeline.step.rows import RowExchange


@dataclass
class AveragedRows(RowExchange):
    """The rows of an attempt, which are told of the averaged gradients.

    Attributes:
        own: what this stage has summed itself, float32 of shape (d,); None until its passes are done.
        averaged: whether that has been replaced.
    """

    own: torch.Tensor | None = None
    averaged: bool = False

    def tell_tied(self) -> None:
        self.own = flat_gradient(self.context.worker)

    def add_tied(self) -> Accusation | bool:
        if self.averaged:
            return super().add_tied()
        self.wanted = []  # what is missing comes from the replicas, not from stages
        return False

    def go_on_with(self, average: torch.Tensor) -> None:
        """Tell the rows of these gradients, float32 of shape (d,)."""
        set_flat_gradient(self.context.worker, average)
        self.averaged = True
        super().tell_tied()


class ReplicaMachine(StageMachine):
    """One stage of one pipeline among several."""

    _rows: AveragedRows

    def _attempt_anew(self, attempt: int) -> None:
        super()._attempt_anew(attempt)
        self._rows = AveragedRows(self.context)

    @property
    def own_gradient(self) -> torch.Tensor | None:
        """What waits for its average: the sum over the pipeline's own micro-batches; None while passes go on."""
        return None if self._rows.averaged else self._rows.own

    def record(self) -> ReplicaRecord:
        """Return all that the gradient of this step was computed from, but for weights and batches."""
        return ReplicaRecord(tuple(self._writer.own_record(self._passes).pieces))

    def average(self, vector: torch.Tensor) -> list[StageEffect]:
        """Go on with the average of all replicas, float32 of shape (d,), in place of the own gradient."""
        self._rows.go_on_with(vector)
        return self._go_on()
