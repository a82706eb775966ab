"""The training of a stage as the rounds of its replicas see it: a gradient that comes from outside, and its proof."""

from __future__ import annotations

from collections.abc import Callable

import torch

from btard.identity import Malformed, PeerId
from btard.pipeline.replicas.gradients import gradient_numbers
from btard.pipeline.replicas.record import RecomputedStage, ReplicaRecord, ReplicaStep
from btard.pipeline.schedule.worker import StageWorker
from btard.transport.vector_trainer import VectorTrainer

KEPT_STEPS = 3
"""Steps of which weights and records are kept: the current one, and the two before it, which others may examine."""

FindStep = Callable[[PeerId, int], ReplicaStep | None]
"""(peer, step) -> the step of the pipeline in which the peer had a stage; None where it had none, or that is long
ago."""


class StageTrainer(VectorTrainer):
    """A `Trainer` whose state is a stage's: the pipeline has computed the gradient, and does the optimizer's step.

    Attributes:
        worker: holds the weights.
    """

    def __init__(self, worker: StageWorker, find_step: FindStep) -> None:
        self.worker, self._find_step = worker, find_step
        self._gradient = torch.zeros(gradient_numbers(worker))
        super().__init__(lambda seed, parameters: self._gradient, self._gradient)
        self._weights: dict[int, bytes] = {}
        self._records: dict[int, bytes] = {}

    def submit(self, step: int, gradient: torch.Tensor, record: bytes) -> None:
        """Have a gradient, float32 of shape (d,), ready for a step, and the record that it was computed from."""
        self._gradient = gradient
        self._weights = _newest(self._weights | {step: self.worker.state().weights})
        self._records = _newest(self._records | {step: record})

    def is_record(self, target: PeerId, step: int, data: bytes) -> bool:
        """Whether bytes are a replica's record of a step."""
        return self._read(target, step, data) is not None

    def computed_again(self, target: PeerId, step: int, data: bytes) -> RecomputedStage | None:
        """Return what follows from a replica's record; None where this trainer does not hold the state before the
        step, or the record is none."""
        found, weights = self._read(target, step, data), self._weights.get(step)
        return (
            None
            if found is None or weights is None
            else found[0].recompute(self.worker.stage.number, found[1], weights)
        )

    def _read(self, target: PeerId, step: int, data: bytes) -> tuple[ReplicaStep, ReplicaRecord] | None:
        known, stage = self._find_step(target, step), self.worker.stage.number
        if known is None or known.facts.roster[stage] != target:
            return None
        try:
            record = ReplicaRecord.decode(data)
            known.check(stage, record)
        except Malformed:
            return None
        return known, record

    def momentum_base(self, step: int) -> bytes | None:
        """Return the record of a step, which here takes the place of what a vector is built on; see `Trainer`."""
        return self._records.get(step)

    async def apply(self, aggregate: torch.Tensor) -> bytes:
        """Return the digest of the state to which the pipeline has gone on; see `Trainer`."""
        return await self.digest()

    async def digest(self) -> bytes:
        return self.worker.state().digest


def _newest(kept: dict[int, bytes]) -> dict[int, bytes]:
    return {step: kept[step] for step in sorted(kept)[-KEPT_STEPS:]}
