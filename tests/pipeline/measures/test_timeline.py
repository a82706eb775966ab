"""A step on a virtual clock, against what can be worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from btard.pipeline.measures.timeline import SlotKind, StageWork, StepShape, chrome_trace, simulate_step, work_for
from btard.pipeline.schedule.order import PipelineOrder
from btard.transport.shaping import LinkConditions

FAST = LinkConditions(rate=1e15)
STEP = StepShape(PipelineOrder.GPIPE, 5, [StageWork(1.0, 2.0)] * 3, 100, 100, FAST)


@pytest.mark.parametrize("order", list(PipelineOrder))
def test_without_waiting_for_links_a_step_has_its_bubble(order: PipelineOrder) -> None:
    found = simulate_step(replace(STEP, order=order))
    assert found.seconds == pytest.approx((5 + 3 - 1) * 3.0)
    assert found.bubble == pytest.approx((3 - 1) / (5 + 3 - 1))


def test_two_stages_over_a_slow_link_take_as_long_as_its_bytes() -> None:
    slow = replace(STEP, work=[StageWork(1.0, 2.0)] * 2, link=LinkConditions(rate=10.0, latency_seconds=0.5))
    # One second, five activations of ten seconds, latency, one pass forward and one back; the other gradients of ten
    # seconds follow the first without a gap.
    assert simulate_step(slow).seconds == pytest.approx(1 + 5 * 10 + 0.5 + 1 + 2 + 5 * 10 + 0.5 + 2)


def test_every_stage_does_every_pass_once_and_one_at_a_time() -> None:
    found = simulate_step(replace(STEP, link=LinkConditions(rate=30.0, latency_seconds=0.1, jitter_seconds=0.1)))
    for stage in range(3):
        for sends in (False, True):
            mine = sorted((one.start, one.seconds) for one in found.slots if one.stage == stage and one.sends == sends)
            for (start, seconds), (following, _) in pairwise(mine):
                assert start + seconds <= following + 1e-9
        passes = {(one.kind, one.micro_batch) for one in found.slots if one.stage == stage and not one.sends}
        assert passes == {(kind, n) for kind in (SlotKind.FORWARD, SlotKind.BACKWARD) for n in range(5)}


def test_what_is_lost_is_sent_again() -> None:
    found = simulate_step(replace(STEP, link=LinkConditions(rate=100.0, loss=0.3)))
    whole = simulate_step(replace(STEP, link=LinkConditions(rate=100.0)))
    assert len(found.slots) > len(whole.slots) and found.seconds > whole.seconds


def test_work_is_found_for_a_given_time() -> None:
    step = replace(STEP, link=LinkConditions(rate=1000.0))
    work = work_for(30.0, step)
    assert simulate_step(replace(step, work=[work] * 3)).seconds == pytest.approx(30.0)
    assert work.backward_seconds == 2 * work.forward_seconds


def test_a_trace_has_all_slots_in_microseconds() -> None:
    found = simulate_step(STEP)
    events = json.loads(json.dumps(chrome_trace(found)))["traceEvents"]
    shown = [event for event in events if event["ph"] == "X"]
    assert len(shown) == len(found.slots)
    assert max(event["ts"] + event["dur"] for event in shown) == pytest.approx(1e6 * found.seconds)
    assert {event["args"]["name"] for event in events if event["ph"] == "M"} >= {"stage 2 computes", "stage 0 sends"}
