"""A whole pipeline of machines, with keys that follow from a seed: for tests, and for trials on one machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from btard.hashing import tagged_digest
from btard.identity import IdentityKey
from btard.identity.envelope import RUN_ID_SIZE
from btard.pipeline.defence.attacks import HONEST, StageAttack
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.plan import PipelinePlan
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.schedule.worker import StageWorker
from btard.pipeline.stages.model_stage import Cut, ModelStage
from btard.tasks.base import Batch


def assemble(
    cut: Cut,
    state: Mapping[str, torch.Tensor],
    optimizer: OptimizerPlan,
    batches: Callable[[int], Sequence[Batch]],
    *,
    order: PipelineOrder = PipelineOrder.GPIPE,
    checked: bool = True,
    trusted_relay: bool = False,
    attack: StageAttack = HONEST,
    seed: int = 0,
    step_seconds: float = 600.0,
) -> list[StageMachine]:
    """Return the machines of all stages, each with the duplicate that it holds.

    Args:
        cut: the model and its stages.
        state: all weights.
        optimizer: of all stages.
        batches: the micro-batches of a step, all of one shape.
        order: how passes alternate.
        checked: whether activations are compared with those of duplicates.
        trusted_relay: whether they come over a relay that all trust.
        attack: how stages lie.
        seed: of the keys and the run's name.
        step_seconds: until a step has stalled, on the driver's clock.
    """
    named = tagged_digest("btard pipeline of one process", seed.to_bytes(8, "big"))
    keys = [
        IdentityKey.from_seed(tagged_digest("btard pipeline stage", named, bytes([stage >> 8, stage & 255])))
        for stage in range(cut.stages)
    ]
    sample = batches(0)
    plan = PipelinePlan(
        run=named[:RUN_ID_SIZE],
        roster=tuple(key.peer_id for key in keys),
        order=order,
        shape=(*sample[0].tensors["input_ids"].shape, int(cut.config.hidden_size)),
        micro_batches=len(sample),
        batches=batches,
        checked=checked,
        trusted_relay=trusted_relay,
        step_seconds=step_seconds,
    )

    def worker(stage: int) -> StageWorker:
        return StageWorker(ModelStage(cut, stage, state), optimizer)

    return [
        StageMachine(plan, key, worker(stage), worker(stage - 1) if checked and stage >= 2 else None, attack)
        for stage, key in enumerate(keys)
    ]
