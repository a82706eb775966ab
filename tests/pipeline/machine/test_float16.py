"""Stages in float16 among others: all skip a step that overflows in one of them, and checks find the same bits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from btard.pipeline.choices import CheckMode
from btard.pipeline.defence.attacks import MessageLie, StageAttack
from btard.pipeline.defence.behaviour import StageBehaviour, StagePlace
from btard.pipeline.justice.evidence import StageEvidence
from btard.pipeline.machine.assembly import assemble
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.memory import SimulatedStage, run_stages
from btard.pipeline.schedule.loss_scale import LossScale
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.schedule.together import StagesTogether
from btard.pipeline.schedule.worker import StageWorker
from btard.pipeline.stages.model_stage import ModelStage
from btard.vocabulary import Precision
from tests.pipeline.machine.test_machine import JITTER, PLAN, assert_same, batches_of, cut_of
from tests.pipeline.tiny import tiny_state

HALF = replace(PLAN, precision=Precision.FLOAT16, first_exponent=22, growth_steps=2)
SPLIT, STEPS = "1-1-1-1", 6


def machines_of(name: str = "gpt2", split: str = SPLIT, *, tie: bool = True, **how) -> list[StageMachine]:
    cut = cut_of(name, split, tie=tie)
    return assemble(cut, tiny_state(cut.config), HALF, batches_of(name), **how)


def together(name: str = "gpt2", split: str = SPLIT, *, tie: bool = True) -> tuple[list[StageWorker], list[int]]:
    """Return all stages after some steps in one process, and the exponent of the scale before each."""
    cut = cut_of(name, split, tie=tie)
    workers = [StageWorker(ModelStage(cut, n, tiny_state(cut.config)), HALF) for n in range(cut.stages)]
    pipeline, exponents = StagesTogether(workers, PipelineOrder.GPIPE), []
    for step in range(STEPS):
        scale = workers[0].scale
        assert scale is not None
        exponents.append(scale.exponent)
        pipeline.step(batches_of(name)(step))
    return workers, exponents


def scales(machines: list[StageMachine]) -> set[LossScale | None]:
    """Return the scales of all weights in all stages, duplicates too."""
    return {worker.scale for machine in machines for worker in machine.context.workers}


def no_alarm(stages: list[SimulatedStage]) -> bool:
    return all(len(s.reports) == STEPS and not s.bans and all(r.alarm is None for r in s.reports) for s in stages)


@pytest.mark.parametrize(
    "how",
    [
        {"checked": False},
        {"share": 1.0},
        {"mode": "drawn", "share": 1.0},
        {"share": 1.0, "backward_codec": "fixpoint:bits=8"},
    ],
    ids=["unchecked", "live", "drawn", "fixpoint"],
)
def test_stages_that_overflow_agree_and_raise_no_alarm(how: dict) -> None:
    options = {**how, "mode": CheckMode(how["mode"])} if "mode" in how else how
    machines = machines_of(**options)
    stages = run_stages(machines, STEPS, conditions=JITTER)
    assert no_alarm(stages)
    workers, exponents = together()
    assert exponents[1] == exponents[0] - 1, "the first step does not overflow"
    assert scales(machines) == {workers[0].scale}
    if "backward_codec" not in how:
        for machine, worker in zip(machines, workers, strict=True):
            assert_same(machine.worker, worker)
            assert machine.worker.state().digest == worker.state().digest


class Overflow(StageBehaviour):
    """Says that its norms have overflown."""

    def norms(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        return torch.full_like(honest, torch.inf)


class Half(StageBehaviour):
    """Sends gradients back that are half as large, as if its scale were."""

    def gradient(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        return honest / 2


def lied(split: str, exponent: int, **how) -> list[SimulatedStage]:
    """Return the stages after a few steps in which one may lie."""
    cut, plan = cut_of("gpt2", split), replace(HALF, first_exponent=exponent)
    return run_stages(assemble(cut, tiny_state(cut.config), plan, batches_of("gpt2"), **how), 4)


def test_a_step_that_overflows_in_one_stage_changes_no_weight() -> None:
    cut, plan = cut_of("gpt2", SPLIT), replace(HALF, first_exponent=16)
    batches, lies = batches_of("gpt2"), {1: Overflow()}
    machines = assemble(cut, tiny_state(cut.config), plan, batches, checked=False, attackers=lies)
    before = [machine.worker.state() for machine in machines]
    run_stages(machines, 1)
    for machine, old in zip(machines, before, strict=True):
        now = machine.worker.state()
        assert now.weights == old.weights and machine.worker.steps == 1
        assert machine.worker.moments() == {name: {} for name in machine.worker.moments()}
    assert scales(machines) == {LossScale(15)}


@pytest.mark.parametrize(("exponent", "first"), [(16, 0), (22, 2)])
def test_a_stage_that_feigns_an_overflow_is_banned(exponent: int, first: int) -> None:
    """Where all gradients overflow what it says is true."""
    stages = lied(SPLIT, exponent, attackers={1: Overflow()})
    for stage in stages:
        assert [(ban.stage, ban.step) for ban in stage.bans] == [(1, first)]
    StageEvidence.from_json(stages[0].bans[0].evidence).check()


@pytest.mark.parametrize("liar", [2, 3], ids=["middle", "last"])
def test_a_gradient_of_another_scale_proves_a_lie(liar: int) -> None:
    """In the last stage the scale enters what is computed again, so the proof has to hold it."""
    stages = lied(SPLIT, 16, attackers={liar: Half()}, mode=CheckMode.DRAWN, share=1.0)
    for stage in stages:
        assert [(ban.stage, ban.step) for ban in stage.bans][:1] == [(liar, 0)]
    StageEvidence.from_json(stages[0].bans[0].evidence).check()


def test_stages_that_are_passed_by_keep_the_common_scale() -> None:
    attack = StageAttack(1.0, backward=MessageLie.REVERSE)
    machines = machines_of(attack=attack, ban=False, split="1-1-1-1-1-1", tie=False)
    stages = run_stages(machines, 4, conditions=JITTER)
    liar = attack.liar(3, 6)
    assert all(stage.reports[-1].accused == (liar,) for stage in stages)
    assert any(report.passed_by for stage in stages for report in stage.reports)
    assert len(scales(machines)) == 1
