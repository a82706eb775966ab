"""A stage's state comes back bit for bit, and what is no state of the stage is refused."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save

from btard.errors import UserError
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.schedule.loss_scale import MOST_EXPONENT, LossScale
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.seats.stage_state import KeptWorker
from btard.pipeline.stages.model_stage import Cut, ModelStage
from btard.pipeline.stages.split import Split
from btard.tasks.base import Schedule
from btard.vocabulary import Precision
from tests.pipeline.tiny import tiny_batch, tiny_config, tiny_state


def worker(
    kind: OptimizerKind = OptimizerKind.ADAMW, seed: int = 1, precision: Precision = Precision.FLOAT32
) -> KeptWorker:
    cut = Cut(tiny_config("gpt2", blocks=1), Split((1,)))
    plan = OptimizerPlan(kind, Schedule(1e-2, 3, 50), precision=precision, growth_steps=2)
    return KeptWorker(ModelStage(cut, 0, tiny_state(cut.config, seed)), plan)


def train(one: KeptWorker, *steps: int) -> float:
    loss = 0.0
    for step in steps:
        loss = float(one.forward(0, tiny_batch("gpt2", step), None))
        one.backward(0, torch.tensor(1.0))
        one.step(one.norms())
    return loss


@pytest.mark.parametrize("kind", list(OptimizerKind))
@pytest.mark.parametrize("before", [0, 3])
def test_a_stage_goes_on_from_its_state_bit_for_bit(kind: OptimizerKind, before: int) -> None:
    one, other = worker(kind), worker(kind, seed=2)
    train(one, *range(before))
    state = one.state_bytes()
    train(other, 90, 91)
    other.load_bytes(state)
    assert other.state_bytes() == state
    assert train(other, 7, 8) == train(one, 7, 8)
    assert other.state_bytes() == one.state_bytes()


def test_a_loss_scale_comes_back_with_the_state() -> None:
    one, other = worker(precision=Precision.FLOAT16), worker(seed=2, precision=Precision.FLOAT16)
    train(one, 0, 1, 2)
    assert one.scale == LossScale(17, 1)
    other.load_bytes(one.state_bytes())
    assert other.scale == one.scale
    assert train(other, 7, 8) == train(one, 7, 8)
    assert other.state_bytes() == one.state_bytes()
    for wrong in ([17], [-1, 0], [MOST_EXPONENT + 1, 0]):
        with pytest.raises(UserError, match="loss scale"):
            other.load_bytes(save({**load(one.state_bytes()), "scale": torch.tensor(wrong)}))
    for state, into in ((worker().state_bytes(), other), (one.state_bytes(), worker())):
        with pytest.raises(UserError, match="another precision"):
            into.load_bytes(state)


def test_a_state_holds_no_gradient_under_way() -> None:
    one = worker()
    state = one.state_bytes()
    one.forward(0, tiny_batch("gpt2", 1), None)
    one.backward(0, torch.tensor(1.0))
    one.load_bytes(state)
    assert all(weight.grad is None for weight in one.stage.weights().values())


def test_what_is_no_state_of_the_stage_is_refused() -> None:
    one = worker()
    train(one, 1)
    good = load(one.state_bytes())
    name = next(name for name in good if name.startswith("weight "))
    moment = next(name for name in good if name.startswith("exp_avg "))
    for change in (
        {"steps": torch.tensor(-1)},
        {"steps": torch.tensor(1.0)},
        {name: good[name].double()},
        {name: torch.zeros(1)},
        {moment: torch.zeros(1)},
        {"exp_avg nothing": torch.zeros(1)},
        {"other " + name: torch.zeros(1)},
    ):
        with pytest.raises(UserError):
            worker().load_bytes(save({**good, **change}))
    for missing in ("steps", name):
        with pytest.raises(UserError):
            worker().load_bytes(save({key: value for key, value in good.items() if key != missing}))
    with pytest.raises(UserError, match="cannot be read"):
        worker().load_bytes(b"nonsense")
