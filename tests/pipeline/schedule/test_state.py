"""A stage's state as bytes comes back as it was."""

from __future__ import annotations

import pytest
import torch

from btard.identity import Malformed
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.state import StageState, weights_size
from btard.pipeline.schedule.worker import StageWorker
from btard.pipeline.stages.model_stage import Cut, ModelStage
from btard.pipeline.stages.split import Split
from btard.tasks.base import Schedule
from tests.pipeline.tiny import FAMILIES, tiny_batch, tiny_config, tiny_state


def worker(name: str, stage: int, kind: OptimizerKind = OptimizerKind.ADAMW) -> StageWorker:
    cut = Cut(tiny_config(name), Split.parse("2-2"))
    plan = OptimizerPlan(kind, Schedule(1e-2, 1, 50))
    return StageWorker(ModelStage(cut, stage, tiny_state(cut.config)), plan)


def trained(one: StageWorker, name: str, steps: int = 2) -> StageWorker:
    for step in range(steps):
        given = None if one.stage.is_first else torch.randn(2, 12, 32, generator=torch.Generator().manual_seed(step))
        output = one.forward(0, tiny_batch(name, step), given)
        one.backward(0, torch.ones_like(output))
        one.step(one.norms())
    return one


@pytest.mark.parametrize("kind", list(OptimizerKind))
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("stage", [0, 1])
def test_a_loaded_stage_goes_on_as_the_other_would(name: str, stage: int, kind: OptimizerKind) -> None:
    first = trained(worker(name, stage, kind), name)
    state = first.state()
    assert len(state.weights) == weights_size(first.stage.cut, stage)
    second = worker(name, stage, kind)
    assert second.state().digest != state.digest
    second.load(state)
    assert second.state() == state
    assert trained(second, name, 1).state() == trained(first, name, 1).state()


def test_a_state_of_another_stage_is_refused() -> None:
    state = worker("gpt2", 0).state()
    for wrong in (
        StageState(state.weights[:-4], state.optimizer),
        StageState(state.weights, state.optimizer[:-1]),
        worker("gpt2", 1).state(),
        StageState(state.weights, trained(worker("gpt2", 1), "gpt2").state().optimizer),
    ):
        with pytest.raises(Malformed):
            worker("gpt2", 0).load(wrong)
