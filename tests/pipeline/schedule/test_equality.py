"""A pipelined step equals a loop over the same micro-batches in one process, bit for bit.

The loop knows no stage and no cut: it trains the model of transformers, with torch's own clipping.
"""

from __future__ import annotations

import itertools
from functools import cache

import pytest
import torch
from torch import nn

from btard.pipeline.choices import OptimizerKind
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.schedule.together import StagesTogether, finish_step
from btard.pipeline.schedule.worker import StageWorker
from btard.pipeline.stages.family import families
from btard.pipeline.stages.model_stage import Cut, ModelStage
from btard.pipeline.stages.split import Split
from btard.tasks.base import Schedule
from tests.pipeline.tiny import FAMILIES, tiny_batch, tiny_config, tiny_state
from tests.quick import quick

STEPS, MICRO_BATCHES = 3, 4
PLAN = OptimizerPlan(OptimizerKind.ADAMW, Schedule(1e-2, 1, 9), max_grad_norm=0.02)
TEXT_FAMILIES = ("gpt2", "opt", "bloom")


def batches(name: str, step: int) -> list:
    return [tiny_batch(name, 100 * step + number) for number in range(MICRO_BATCHES)]


def pipelined(
    name: str, split: str, order: PipelineOrder, *, tie: bool = False, plan: OptimizerPlan = PLAN, **how: object
) -> dict[str, torch.Tensor]:
    """Return all weights after some steps in stages; a copy of a tied weight under its own name."""
    config = tiny_config(name, tie=tie)
    state, cut = tiny_state(config), Cut(config, Split.parse(split))
    checkpointing, accumulate = bool(how.get("checkpointing")), int(how.get("accumulate", 1))  # type: ignore[call-overload]
    workers = [StageWorker(ModelStage(cut, n, state), plan, checkpointing) for n in range(cut.stages)]
    together = StagesTogether(workers, order, accumulate)
    for step in range(STEPS):
        together.step(batches(name, step))
    return {
        f"{worker.stage.number}:{key}": weight.detach()
        for worker in workers
        for key, weight in worker.stage.weights().items()
    }


@cache
def in_one_process(name: str, *, tie: bool = False, plan: OptimizerPlan = PLAN) -> dict[str, torch.Tensor]:
    """Return all weights after the same steps of the whole model."""
    config = tiny_config(name, tie=tie)
    family = families()[name]
    model = family.construct(config)
    model.load_state_dict(tiny_state(config))
    model.train()
    weights: dict[str, nn.Parameter] = dict(model.named_parameters())
    ties = family.ties(config)
    optimizer = plan.build(weights)
    scheduler = plan.schedule.scheduler(optimizer)
    for step in range(STEPS):
        for batch in batches(name, step):
            (model(**batch.tensors).loss * (1.0 / MICRO_BATCHES)).backward()
        for copy, original in ties.items():
            weights[copy].grad = weights[original].grad = weights[original].grad + weights[copy].grad
            weights[copy].grad = weights[copy].grad.clone()
        counted = [weights[key] for key in sorted(weights) if key not in ties]
        if plan.max_grad_norm is not None:
            total = torch.nn.utils.clip_grad_norm_(counted, plan.max_grad_norm, foreach=False)
            assert float(total) > plan.max_grad_norm, "or clipping would not be tested"
        for copy, original in ties.items():
            weights[copy].grad = weights[original].grad.clone()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return {key: weight.detach() for key, weight in weights.items()}


def assert_equal(stages: dict[str, torch.Tensor], whole: dict[str, torch.Tensor]) -> None:
    assert {key.partition(":")[2] for key in stages} == whole.keys()
    for key, weight in stages.items():
        assert torch.equal(weight, whole[key.partition(":")[2]]), key


@pytest.mark.parametrize(
    ("name", "tie", "split", "order"),
    quick(13, itertools.product(TEXT_FAMILIES, (False, True), ("4", "1-3", "2-1-1"), PipelineOrder)),
)
def test_a_pipelined_step_equals_a_loop(name: str, tie: bool, split: str, order: PipelineOrder) -> None:
    assert_equal(pipelined(name, split, order, tie=tie), in_one_process(name, tie=tie))


@pytest.mark.parametrize("kind", [OptimizerKind.ADAM, OptimizerKind.SGD])
def test_a_step_equals_a_loop_under_other_optimizers(kind: OptimizerKind) -> None:
    plan = OptimizerPlan(kind, PLAN.schedule, max_grad_norm=None)
    whole = in_one_process("gpt2", plan=plan)
    assert_equal(pipelined("gpt2", "1-2-1", PipelineOrder.ONE_FORWARD_ONE_BACKWARD, plan=plan), whole)


@pytest.mark.parametrize("name", FAMILIES)
def test_checkpointing_and_accumulation_change_no_bit(name: str) -> None:
    plain = pipelined(name, "1-2-1", PipelineOrder.GPIPE)
    for how in ({"checkpointing": True}, {"accumulate": 2}):
        other = pipelined(name, "1-2-1", PipelineOrder.ONE_FORWARD_ONE_BACKWARD, **how)
        assert all(torch.equal(plain[key], other[key]) for key in plain)


@pytest.mark.parametrize("order", list(PipelineOrder))
def test_a_table_of_all_stages_of_one_equals_a_loop(order: PipelineOrder) -> None:
    assert_equal(pipelined("deberta-v2", "4", order), in_one_process("deberta-v2"))


@pytest.mark.parametrize("split", ["1-3", "2-1-1"])
def test_copies_of_a_shared_table_stay_equal_and_near_a_loop(split: str) -> None:
    """Each stage sends the table's gradient through its normalisation first, so rounding depends on the cut."""
    stages, whole = pipelined("deberta-v2", split, PipelineOrder.GPIPE), in_one_process("deberta-v2")
    for key, weight in stages.items():
        name = key.partition(":")[2]
        assert torch.allclose(weight, whole[name], atol=2e-3), key
        copies = [other for place, other in stages.items() if place.endswith(":" + name)]
        assert all(torch.equal(copies[0], copy) for copy in copies)


@pytest.mark.parametrize("split", ["1-3", "2-1-1"])
def test_a_shared_table_equals_a_loop_with_as_many_copies(split: str) -> None:
    config = tiny_config("deberta-v2")
    cut, state = Cut(config, Split.parse(split)), tiny_state(config)
    workers = [StageWorker(ModelStage(cut, number, state), PLAN) for number in range(cut.stages)]
    for step in range(STEPS):
        for batch in batches("deberta-v2", step):
            hidden = None
            for worker in workers:  # one graph through all stages, cut nowhere
                hidden = worker.stage(batch, hidden)
            (hidden * (1.0 / MICRO_BATCHES)).backward()
        finish_step(workers)
    stages = pipelined("deberta-v2", split, PipelineOrder.ONE_FORWARD_ONE_BACKWARD)
    for worker in workers:
        for name, weight in worker.stage.weights().items():
            assert torch.equal(stages[f"{worker.stage.number}:{name}"], weight), name
