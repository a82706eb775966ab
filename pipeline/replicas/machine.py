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
        self._asks_again = False
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

    def average(self, now: float, vector: torch.Tensor) -> list[StageEffect]:
        """Go on with the average of all replicas, float32 of shape (d,), in place of the own gradient."""
        self._stalls = now + self.plan.step_seconds
        self.deadline = min(self._stalls, now + self.plan.retry_seconds)
        self._rows.go_on_with(vector)
        return self._go_on()

    def tick(self, now: float) -> list[StageEffect]:
        """The deadline may have passed; see `StageMachine`. That an average takes long is no fault of this pipeline."""
        if self.own_gradient is not None:
            self._stalls = now + self.plan.step_seconds
        return super().tick(now)

    def _ask(self) -> None:
        super()._ask()
        self._asks_again = self._rows.averaged

    def take_questions(self) -> list[tuple[StageMessageKind, list[PeerId]]]:
        """Return, once after each deadline, the kinds of rows whose headers are missing, each with the peers of other
        pipelines that may tell one."""
        if not self._asks_again:
            return []
        self._asks_again = False
        steps = self.all_steps(self.context.step)
        asked = [
            (kind, [steps[replica].facts.roster[stage] for replica in replicas])
            for kind, stage, replicas in self._rows.unheard()
        ]
        return [(kind, [peer for peer in peers if peer not in self.plan.roster]) for kind, peers in asked]

    def header(self, kind: StageMessageKind) -> SignedHeader | None:
        """Return the header of the own row of this step, for a stage of another pipeline; None if there is none yet."""
        return self._rows.header(kind)

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
