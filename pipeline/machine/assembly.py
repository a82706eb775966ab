"""A whole pipeline of machines, with keys that follow from a seed: for tests, and for trials on one machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from btard.hashing import tagged_digest
from btard.identity import IdentityKey
from btard.identity.envelope import RUN_ID_SIZE
from btard.pipeline.defence.attacks import HONEST
from btard.pipeline.defence.behaviour import StageBehaviour
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
    attack: StageBehaviour = HONEST,
    attackers: Mapping[int, StageBehaviour] | None = None,
    seed: int = 0,
    **plan_options: Any,
) -> list[StageMachine]:
    """Return the machines of all stages, each with the duplicate that it holds.

    Args:
        cut: the model and its stages.
        state: all weights.
        optimizer: of all stages.
        batches: the micro-batches of a step, all of one shape.
        order: how passes alternate.
        attack: how stages lie.
        attackers: how single stages lie, in place of `attack`.
        seed: of the keys and the run's name.
        plan_options: all else that `PipelinePlan` has.
    """
    named = tagged_digest("btard pipeline of one process", seed.to_bytes(8, "big"))
    keys = [stage_key(seed, stage) for stage in range(cut.stages)]
    sample = batches(0)
    workers = [StageWorker(ModelStage(cut, stage, state), optimizer) for stage in range(cut.stages)]
    plan = PipelinePlan(
        run=named[:RUN_ID_SIZE],
        roster=tuple(key.peer_id for key in keys),
        order=order,
        shape=(*sample[0].tensors["input_ids"].shape, int(cut.config.hidden_size)),
        micro_batches=len(sample),
        batches=batches,
        first_states=tuple(worker.state().digest for worker in workers),
        **plan_options,
    )

    def duplicate(stage: int) -> StageWorker | None:
        if not plan.duplicates or stage < 2:
            return None
        return StageWorker(ModelStage(cut, stage - 1, state), optimizer)

    behaviours = [(attackers or {}).get(stage, attack) for stage in range(cut.stages)]
    return [
        StageMachine(plan, key, workers[stage], duplicate(stage), behaviours[stage]) for stage, key in enumerate(keys)
    ]


def stage_key(seed: int, stage: int, *, incarnation: int = 0) -> IdentityKey:
    """Return the key of a stage's peer; one that comes after another was banned is of a later incarnation."""
    named = tagged_digest("btard pipeline of one process", seed.to_bytes(8, "big"))
    return IdentityKey.from_seed(
        tagged_digest("btard pipeline stage", named, bytes([stage >> 8, stage & 255, incarnation]))
    )
