"""A stage of one of several pipelines: between its passes and its step it waits for the average of all replicas."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from btard.identity import IdentityKey, Malformed, PeerId
from btard.pipeline.defence.attacks import HONEST
from btard.pipeline.defence.behaviour import StageBehaviour
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.messages import SignedHeader, StageMessageKind
from btard.pipeline.machine.plan import PipelinePlan, StageEffect
from btard.pipeline.replicas.record import ReplicaRecord, ReplicaStep
from btard.pipeline.replicas.rows import ROW_KINDS, AveragedRows, Row
from btard.pipeline.schedule.worker import StageWorker

AllSteps = Callable[[int], Sequence[ReplicaStep]]
"""step -> that step of all pipelines, by replica; nothing where that is long ago."""


class ReplicaMachine(StageMachine):
    """One stage of one pipeline among several.

    Attributes:
        all_steps: what all know of the pipelines.
        replicas: how many there are.
    """

    _rows: AveragedRows

    def __init__(
        self,
        plan: PipelinePlan,
        key: IdentityKey,
        worker: StageWorker,
        all_steps: AllSteps,
        replicas: int,
        attack: StageBehaviour = HONEST,
    ) -> None:
        self.all_steps, self.replicas = all_steps, replicas
        super().__init__(plan, key, worker, attack=attack)

    def _attempt_anew(self, attempt: int) -> None:
        super()._attempt_anew(attempt)
        self._rows = AveragedRows(self.context, replicas=self.replicas)

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

    def take_headers(self) -> list[SignedHeader]:
        """Return the headers of rows that the stages of all other pipelines are to be told, once."""
        headers, self._rows.telling = self._rows.telling, []
        return headers

    def hear(self, sender: PeerId, data: bytes) -> list[StageEffect]:
        """A stage of another pipeline tells the header of a row; what no honest one sends is dropped."""
        step = self.context.step
        try:
            signed = SignedHeader.decode(data)
            for replica, known in enumerate(self.all_steps(step)):
                header, facts = signed.header, known.facts
                told = (header.run, header.step, facts.roster[header.stage : header.stage + 1])
                if told == (facts.run, step, (sender,)) and header.kind in ROW_KINDS:
                    signed.verify(sender)
                    self._rows.hear(replica, header)
        except Malformed:
            return []
        return self._go_on()

    def lacking(self) -> list[tuple[Row, list[PeerId]]]:
        """Return the rows to ask for, each with the peers that have told it."""
        steps = self.all_steps(self.context.step)
        return [
            (row, [steps[replica].facts.roster[row[1]] for replica in self._rows.tellers(row)])
            for row in self._rows.lacking
        ]

    def show(self, kind: StageMessageKind, wanted: bytes) -> bytes | None:
        """Return the own row of this step that has a digest, for a stage of another pipeline; None if there is none."""
        return self._rows.show(kind, wanted)

    def shown(self, data: bytes) -> list[StageEffect]:
        """A row has come that was asked for."""
        self._rows.shown(data)
        return self._go_on()
