"""Small pipelines beside each other, for tests."""

from __future__ import annotations

from collections.abc import Mapping

from btard.behaviour import Behaviour
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.machine.plan import PipelinePlan
from btard.pipeline.replicas.rules import AveragingRules
from btard.pipeline.replicas.simulated.pipelines import Pipelines, Seat
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.stages.model_stage import Cut
from btard.pipeline.stages.split import Split
from btard.tasks.base import Batch, Schedule
from btard.transport.virtual import NetworkConditions
from tests.pipeline.tiny import tiny_batch, tiny_config, tiny_state

PLAN = OptimizerPlan(OptimizerKind.ADAMW, Schedule(1e-2, 1, 50), max_grad_norm=0.05)
CUT = Cut(tiny_config("gpt2", blocks=3, tie=True), Split.parse("1-1-1"))
STATE = tiny_state(CUT.config)
MICRO_BATCHES = 2


def batches_of(replica: int, step: int) -> tuple[Batch, ...]:
    return tuple(tiny_batch("gpt2", 1000 * step + 10 * replica + number) for number in range(MICRO_BATCHES))


def plan_of(replica: int, **options) -> PipelinePlan:
    shape = (*batches_of(0, 0)[0].tensors["input_ids"].shape, int(CUT.config.hidden_size))
    order = PipelineOrder.ONE_FORWARD_ONE_BACKWARD
    return PipelinePlan(b"", (), order, shape, MICRO_BATCHES, lambda step: batches_of(replica, step), **options)


def pipelines_of(
    replicas: int = 4,
    *,
    tau: float = 0.01,
    share: float = 0.0,
    seed: int = 0,
    behaviours: Mapping[Seat, Behaviour] | None = None,
    conditions: NetworkConditions | None = None,
    **options,
) -> Pipelines:
    plans = [plan_of(replica, **options) for replica in range(replicas)]
    averaging = AveragingRules(tau, share)
    return Pipelines(CUT, STATE, PLAN, plans, averaging, seed=seed, behaviours=behaviours, conditions=conditions)


def states(pipelines: Pipelines) -> list[set[bytes]]:
    """Return for each stage the digests of its replicas' states."""
    stages = range(CUT.stages)
    return [{machines[stage].worker.state().digest for machines in pipelines.machines} for stage in stages]
