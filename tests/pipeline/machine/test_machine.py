"""Stages among others: they train as one process does, raise alarms, and go on."""

from __future__ import annotations

import pytest
import torch

from btard.pipeline.choices import OptimizerKind
from btard.pipeline.defence.attacks import MessageLie, StageAttack
from btard.pipeline.defence.recovery import recovery
from btard.pipeline.machine.assembly import assemble
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.memory import run_stages
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.schedule.together import StagesTogether
from btard.pipeline.schedule.worker import StageWorker
from btard.pipeline.stages.model_stage import Cut, ModelStage
from btard.pipeline.stages.split import Split
from btard.tasks.base import Batch, Schedule
from btard.transport.virtual import NetworkConditions
from tests.pipeline.tiny import tiny_batch, tiny_config, tiny_state
from tests.quick import quick

PLAN = OptimizerPlan(OptimizerKind.ADAMW, Schedule(1e-2, 1, 50), max_grad_norm=0.05)
SEED = bytes([13]) * 32
"""With which each of six stages that may lie does so, and none in two steps of six."""

JITTER = NetworkConditions(delay=(0.001, 0.5))


def cut_of(name: str, split: str, *, tie: bool = False) -> Cut:
    split_ = Split.parse(split)
    return Cut(tiny_config(name, blocks=sum(split_.blocks), tie=tie), split_)


def batches_of(name: str, micro_batches: int = 2):
    def batches(step: int) -> list[Batch]:
        return [tiny_batch(name, 100 * step + number) for number in range(micro_batches)]

    return batches


def machines_of(name: str = "gpt2", split: str = "1-1-1-1-1-1", *, tie: bool = False, **how) -> list[StageMachine]:
    cut = cut_of(name, split, tie=tie)
    return assemble(cut, tiny_state(cut.config), PLAN, batches_of(name), **how)


def weights(worker: StageWorker) -> dict[str, torch.Tensor]:
    return {name: weight.detach() for name, weight in worker.stage.weights().items()}


def assert_same(one: StageWorker, other: StageWorker) -> None:
    assert one.stage.number == other.stage.number
    for name, weight in weights(one).items():
        assert torch.equal(weight, weights(other)[name]), name


def assert_duplicates_equal(machines: list[StageMachine]) -> None:
    for machine in machines[2:]:
        assert machine.duplicate is not None
        assert_same(machine.duplicate, machines[machine.number - 1].worker)


@pytest.mark.parametrize(
    ("checked", "order", "name", "tie"),
    quick(
        5,
        [
            (checked, order, name, tie)
            for checked in (True, False)
            for order in PipelineOrder
            for name, tie in (("gpt2", True), ("opt", False), ("bloom", True), ("deberta-v2", False))
        ],
    ),
)
def test_messages_change_no_bit(name: str, tie: bool, order: PipelineOrder, checked: bool) -> None:
    machines = machines_of(name, "1-2-1", tie=tie, order=order, checked=checked)
    stages = run_stages(machines, 3, conditions=JITTER)
    cut = cut_of(name, "1-2-1", tie=tie)
    together = StagesTogether(
        [StageWorker(ModelStage(cut, n, tiny_state(cut.config)), PLAN) for n in range(3)], PipelineOrder.GPIPE
    )
    losses = [together.step(batches_of(name)(step)) for step in range(3)]
    assert [report.loss for report in stages[-1].reports] == losses
    assert all(report.alarm is None and report.stepped for stage in stages for report in stage.reports)
    for machine, worker in zip(machines, together.workers, strict=True):
        assert_same(machine.worker, worker)
    if checked:
        assert_duplicates_equal(machines)


@pytest.mark.parametrize(
    ("trusted_relay", "lie"), quick(3, [(trusted, lie) for lie in MessageLie for trusted in (True, False)])
)
def test_every_forward_lie_is_noticed_and_passed_by(trusted_relay: bool, lie: MessageLie) -> None:
    attack = StageAttack(0.7, lie, seed=SEED)
    machines = machines_of(attack=attack, trusted_relay=trusted_relay, ban=False)
    steps = 6
    stages = run_stages(machines, steps, conditions=JITTER)
    liars = [attack.liar(step, 6) for step in range(steps)]
    assert set(liars) == {None, 1, 2, 3, 4}
    for stage in stages:
        assert [report.alarm for report in stage.reports] == [None if k is None else k + 1 for k in liars]
        frozen = [
            k is not None and stage.machine.number in recovery(6, k + 1, trusted_relay=trusted_relay).frozen
            for k in liars
        ]
        assert [not report.stepped for report in stage.reports] == frozen
        skipped = [
            k is not None and stage.machine.number in recovery(6, k + 1, trusted_relay=trusted_relay).skipped
            for k in liars
        ]
        assert [report.passed_by for report in stage.reports] == skipped
    assert_duplicates_equal(machines)


@pytest.mark.parametrize("name", ["gpt2", "deberta-v2"])
def test_copies_of_tied_weights_stay_equal_through_alarms(name: str) -> None:
    machines = machines_of(name, tie=name == "gpt2", attack=StageAttack(0.6, MessageLie.REVERSE), ban=False)
    stages = run_stages(machines, 6)
    assert all(len(stage.reports) == 6 for stage in stages)
    assert_duplicates_equal(machines)
    for places in machines[0].worker._ties:
        copies = [weights(machines[stage].worker)[name] for stage, name in places]
        assert all(torch.equal(copies[0], copy) for copy in copies)


def test_frozen_stages_keep_their_weights() -> None:
    attack = StageAttack(1.0, MessageLie.REVERSE)
    machines = machines_of(attack=attack, trusted_relay=True)
    before = [{name: weight.clone() for name, weight in weights(machine.worker).items()} for machine in machines]
    run_stages(machines, 1)
    liar = attack.liar(0, 6)
    assert liar is not None
    frozen = recovery(6, liar + 1, trusted_relay=True).frozen
    for machine, old in zip(machines, before, strict=True):
        same = all(torch.equal(old[name], weight) for name, weight in weights(machine.worker).items())
        assert same == (machine.number in frozen)


def test_unchecked_lies_go_through() -> None:
    honest = run_stages(machines_of(checked=False), 2)
    lied = run_stages(machines_of(checked=False, attack=StageAttack(1.0, MessageLie.REVERSE)), 2)
    assert all(report.alarm is None for report in lied[-1].reports)
    assert [r.loss for r in lied[-1].reports] != [r.loss for r in honest[-1].reports]


@pytest.mark.parametrize("lie", list(MessageLie))
def test_every_backward_lie_is_noticed_and_passed_by(lie: MessageLie) -> None:
    attack = StageAttack(0.7, backward=lie, seed=SEED)
    machines = machines_of(attack=attack, ban=False)
    stages = run_stages(machines, 6, conditions=JITTER)
    liars = [attack.liar(step, 6) for step in range(6)]
    for stage in stages:
        assert [report.accused for report in stage.reports] == [() if k is None else (k,) for k in liars]
    assert_duplicates_equal(machines)


def test_a_stage_that_hears_nothing_stalls_at_its_deadline() -> None:
    machines = machines_of(split="1-1-1", step_seconds=5.0, checked=False)
    stages = run_stages(machines, 2, conditions=NetworkConditions(loss=1.0))
    assert stages[0].network.now == 5.0
    assert all(stage.stalled is not None and stage.reports == [] for stage in stages)
    assert stages[1].stalled is not None and "activation 0 of stage 0" in stages[1].stalled.waiting
