"""The order of a stage's work."""

from __future__ import annotations

import pytest

from btard.pipeline.schedule.order import BackwardPass, ForwardPass, OptimizerStep, PipelineOrder, most_kept

ORDERS = list(PipelineOrder)


def text(order: PipelineOrder, stages: int, stage: int, micro_batches: int, accumulate: int = 1) -> str:
    short = {ForwardPass: "f", BackwardPass: "b", OptimizerStep: "s"}
    actions = order.actions(stages, stage, micro_batches, accumulate)
    return " ".join(short[type(action)] + str(getattr(action, "micro_batch", "")) for action in actions)


def test_gpipe_goes_forward_through_all_first() -> None:
    assert text(PipelineOrder.GPIPE, 3, 1, 3) == "f0 f1 f2 b0 b1 b2 s"


def test_1f1b_keeps_as_many_as_stages_are_left() -> None:
    assert text(PipelineOrder.ONE_FORWARD_ONE_BACKWARD, 3, 0, 4) == "f0 f1 f2 b0 f3 b1 b2 b3 s"
    assert text(PipelineOrder.ONE_FORWARD_ONE_BACKWARD, 3, 1, 4) == "f0 f1 b0 f2 b1 f3 b2 b3 s"
    assert text(PipelineOrder.ONE_FORWARD_ONE_BACKWARD, 3, 2, 4) == "f0 b0 f1 b1 f2 b2 f3 b3 s"
    assert [most_kept(PipelineOrder.ONE_FORWARD_ONE_BACKWARD.actions(4, stage, 8)) for stage in range(4)] == [
        4,
        3,
        2,
        1,
    ]
    assert most_kept(PipelineOrder.GPIPE.actions(4, 0, 8)) == 8


@pytest.mark.parametrize("order", ORDERS)
def test_a_pipeline_that_fills_twice_steps_once(order: PipelineOrder) -> None:
    actions = order.actions(3, 0, 2, 2)
    assert [action for action in actions if isinstance(action, OptimizerStep)] == [actions[-1]]
    assert [a.micro_batch for a in actions if isinstance(a, ForwardPass)] == [0, 1, 2, 3]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("micro_batches", [1, 2, 5])
def test_backward_passes_ascend_behind_their_forward(order: PipelineOrder, micro_batches: int) -> None:
    for stage in range(4):
        actions = order.actions(4, stage, micro_batches)
        for kind in (ForwardPass, BackwardPass):
            assert [a.micro_batch for a in actions if isinstance(a, kind)] == list(range(micro_batches))
        assert all(actions.index(ForwardPass(n)) < actions.index(BackwardPass(n)) for n in range(micro_batches))


@pytest.mark.parametrize("numbers", [(0, 0, 1), (2, 2, 1), (2, 0, 0)])
def test_a_stage_that_cannot_be_has_no_order(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError):
        PipelineOrder.GPIPE.actions(*numbers)
