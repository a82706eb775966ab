"""In float16 stages do what torch's scaler does in one process: bit for bit, and all skip a step that overflows."""

from __future__ import annotations

import itertools
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from btard.identity import Malformed
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.schedule.loss_scale import MOST_EXPONENT, LossScale, read_scale
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.schedule.together import StagesTogether
from btard.pipeline.schedule.worker import StageWorker
from btard.pipeline.stages.family import families
from btard.pipeline.stages.model_stage import Cut, ModelStage
from btard.pipeline.stages.split import Split
from btard.tasks.base import Schedule
from btard.vocabulary import Precision
from tests.pipeline.tiny import tiny_batch, tiny_config, tiny_state
from tests.quick import quick

STEPS, MICRO_BATCHES = 6, 2
PLAN = OptimizerPlan(
    OptimizerKind.ADAMW,
    Schedule(1e-2, 1, 9),
    max_grad_norm=0.02,
    precision=Precision.FLOAT16,
    first_exponent=22,
    growth_steps=2,
)
"""By the 22nd power of two gradients of these models overflow, and by the 20th they do not."""


def batches(name: str, step: int) -> list:
    return [tiny_batch(name, 100 * step + number) for number in range(MICRO_BATCHES)]


def in_one_process(name: str, *, tie: bool, plan: OptimizerPlan) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Return all weights of the whole model after some steps with torch's scaler, and the scale after each."""
    config, family = tiny_config(name, tie=tie), families()[name]
    model = family.construct(config)
    model.load_state_dict(tiny_state(config))
    model.train()
    weights: dict[str, nn.Parameter] = dict(model.named_parameters())
    ties, optimizer = family.ties(config), plan.build(weights)
    scheduler = plan.schedule.scheduler(optimizer)
    scaler = torch.amp.GradScaler(
        "cpu", init_scale=2.0**plan.first_exponent, growth_interval=plan.growth_steps, enabled=plan.scaled
    )
    kind = torch.float16 if plan.scaled else torch.bfloat16
    scales = []
    for step in range(STEPS):
        for batch in batches(name, step):
            with torch.autocast("cpu", dtype=kind):
                loss = model(**batch.tensors).loss * (1.0 / MICRO_BATCHES)
            scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        for copy, original in ties.items():
            weights[original].grad = weights[original].grad + weights[copy].grad
        counted = [weights[key] for key in sorted(weights) if key not in ties]
        torch.nn.utils.clip_grad_norm_(counted, PLAN.max_grad_norm or 0.0, foreach=False)
        for copy, original in ties.items():
            weights[copy].grad = weights[original].grad.clone()
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
        optimizer.zero_grad()
        scales.append(scaler.get_scale())
    return {key: weight.detach() for key, weight in weights.items()}, scales


def in_stages(
    name: str, split: str, *, tie: bool, plan: OptimizerPlan, checkpointing: bool = False
) -> tuple[list[StageWorker], list[list[LossScale | None]]]:
    """Return all stages after the same steps, and the scale of each after each step."""
    config = tiny_config(name, tie=tie)
    state, cut = tiny_state(config), Cut(config, Split.parse(split))
    workers = [StageWorker(ModelStage(cut, n, state), plan, checkpointing) for n in range(cut.stages)]
    together, scales = StagesTogether(workers, PipelineOrder.ONE_FORWARD_ONE_BACKWARD), []
    for step in range(STEPS):
        together.step(batches(name, step))
        scales.append([worker.scale for worker in workers])
    return workers, scales


def assert_equal(workers: list[StageWorker], whole: dict[str, torch.Tensor]) -> None:
    for worker in workers:
        for name, weight in worker.stage.weights().items():
            assert torch.equal(weight, whole[name]), f"{worker.stage.number}: {name}"


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize(
    ("name", "tie", "split"), quick(5, itertools.product(("gpt2", "opt", "bloom"), (False, True), ("4", "2-1-1")))
)
def test_a_float16_step_equals_the_scaler_of_torch(name: str, tie: bool, split: str) -> None:
    workers, scales = in_stages(name, split, tie=tie, plan=PLAN)
    whole, factors = in_one_process(name, tie=tie, plan=PLAN)
    assert_equal(workers, whole)
    for told, factor in zip(scales, factors, strict=True):
        assert {scale and scale.factor for scale in told} == {factor}
    assert factors[0] < 2.0**PLAN.first_exponent, "no step overflows"
    assert any(later > before for before, later in pairwise(factors)), "the scale never grows"


@pytest.mark.parametrize("name", ["gpt2", "opt", "bloom"])
def test_bfloat16_needs_no_scale(name: str) -> None:
    plan = replace(PLAN, precision=Precision.BFLOAT16)
    workers, scales = in_stages(name, "2-1-1", tie=True, plan=plan)
    assert_equal(workers, in_one_process(name, tie=True, plan=plan)[0])
    assert {scale for told in scales for scale in told} == {None}
    assert {worker.state().scale for worker in workers} == {b""}


def test_activations_that_are_computed_again_change_no_bit() -> None:
    plain, _ = in_stages("opt", "1-3", tie=False, plan=PLAN)
    again, _ = in_stages("opt", "1-3", tie=False, plan=PLAN, checkpointing=True)
    assert [worker.state().digest for worker in plain] == [worker.state().digest for worker in again]


def test_a_scale_follows_the_rule_of_torch() -> None:
    scaler, own = torch.amp.GradScaler("cpu", init_scale=2.0**4, growth_interval=3), LossScale(4)
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    for finite in [True] * 7 + [False, True, True, False, False, True, True, True, True]:
        scaler.scale(torch.zeros(1))
        weight.grad = torch.full((1,), 1.0 if finite else torch.inf)
        scaler.step(optimizer)
        scaler.update()
        own = own.after(finite, 3)
        assert own.factor == scaler.get_scale()


def test_a_state_commits_to_its_scale() -> None:
    workers, _ = in_stages("gpt2", "1-3", tie=False, plan=PLAN)
    state = workers[1].state()
    assert replace(state, scale=LossScale(3).encode()).digest != state.digest
    other = StageWorker(ModelStage(workers[1].stage.cut, 1, tiny_state(workers[1].stage.cut.config)), PLAN)
    other.load(state)
    assert other.scale == workers[1].scale and other.state() == state
    with pytest.raises(Malformed):
        other.load(replace(state, scale=b""))


def test_a_scale_stays_between_its_ends() -> None:
    assert LossScale(0).after(False, 2) == LossScale(0)
    assert LossScale(MOST_EXPONENT, 1).after(True, 2) == LossScale(MOST_EXPONENT)


def test_a_scale_is_read_as_it_was_written() -> None:
    scale = LossScale(17, 1999)
    assert read_scale(scale.encode(), scaled=True) == scale
    assert read_scale(b"", scaled=False) is None
    wrong = [LossScale(MOST_EXPONENT + 1).encode(), b"nonsense", b""]
    for data, scaled in [*((data, True) for data in wrong), (scale.encode(), False)]:
        with pytest.raises(Malformed):
            read_scale(data, scaled=scaled)
