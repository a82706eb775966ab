"""Codecs between stages: what both sides keep stays equal, through lies, accidents and stages that are passed by."""

from __future__ import annotations

import pytest

from btard.errors import UserError
from btard.pipeline.choices import CheckMode
from btard.pipeline.defence.attacks import MessageLie, StageAttack
from btard.pipeline.defence.recovery import Recovery
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.memory import run_stages
from btard.pipeline.step.lineup import Lineup
from tests.pipeline.machine.test_machine import JITTER, SEED, assert_duplicates_equal, machines_of
from tests.quick import quick

CODES = {"forward_codec": "delta:bits=4", "backward_codec": "fixpoint:bits=8"}


def samples(step: int) -> list[list[int]]:
    """Return ids under which the samples of two micro-batches come again in every step."""
    return [[0, 1], [2, 3]]


def compressed(**how) -> list[StageMachine]:
    return machines_of(samples=samples, ban=False, **{**CODES, **how})


def assert_caches_equal(machines: list[StageMachine]) -> int:
    """Check that all stages that know a boundary keep the same there, and return how many entries they do."""
    count = 0
    for source in range(len(machines) - 1):
        holders = [m.context.channels for m in machines if source in m.context.channels._boundaries]
        assert len(holders) >= 2
        kept = [channels._boundaries[source].entries(range(4)) for channels in holders]
        assert all(entries == kept[0] for entries in kept), f"they differ behind stage {source}"
        count += len(kept[0])
    return count


@pytest.mark.parametrize(
    ("codec", "mode"),
    quick(1, [(codec, mode) for codec in ("delta_lowbits:bits=4,cache_bits=6", "delta:bits=4") for mode in CheckMode]),
)
def test_lies_and_skips_leave_all_caches_equal(codec: str, mode: CheckMode) -> None:
    attack = StageAttack(0.7, MessageLie.REVERSE, seed=SEED)
    machines = compressed(attack=attack, forward_codec=codec, mode=mode, share=1.0)
    stages = run_stages(machines, 6, conditions=JITTER)
    liars = [attack.liar(step, 6) for step in range(6)]
    assert [report.accused for report in stages[-1].reports] == [() if k is None else (k,) for k in liars]
    assert assert_caches_equal(machines) == 5 * 4
    if mode is CheckMode.LIVE:
        assert_duplicates_equal(machines)


def test_the_second_visit_takes_fewer_bytes() -> None:
    machines = compressed(split="1-1-1", checked=False)
    stages = run_stages(machines, 1)
    first = stages[0].sent_bytes.total()
    again = run_stages(compressed(split="1-1-1", checked=False), 2)[0].sent_bytes.total() - first
    assert again < 0.6 * first


def test_caches_that_differ_cost_one_raw_send() -> None:
    machines = compressed()
    run_stages(machines, 2)
    boundary = machines[3].context.channels._boundaries[2]
    (entry,) = boundary.entries([1]).values()
    assert boundary._store is not None
    boundary._store.stage(1, bytes(len(entry)))
    boundary._store.commit()
    stages = run_stages(machines, 3, first=2)
    assert [report.attempts for report in stages[0].reports] == [2, 1, 1]
    assert all(report.accused == () for report in stages[0].reports)
    assert_caches_equal(machines)
    assert_duplicates_equal(machines)


def test_raw_steps_change_no_bit() -> None:
    plain = run_stages(machines_of(split="1-1-1", checked=False), 2)
    raw = run_stages(compressed(split="1-1-1", checked=False, forward_codec="fixpoint:bits=2", raw_steps=2), 2)
    assert [report.loss for report in raw[-1].reports] == [report.loss for report in plain[-1].reports]
    coded = run_stages(compressed(split="1-1-1", checked=False, forward_codec="fixpoint:bits=2", raw_steps=1), 2)
    losses = [report.loss for report in coded[-1].reports]
    assert losses[0] == plain[-1].reports[0].loss and losses[1] != plain[-1].reports[1].loss


def test_a_boundary_keeps_nothing_beside_a_skipped_stage() -> None:
    lineup = Lineup(6, True, Recovery(frozenset({3}), frozenset({2, 3})))
    assert [lineup.keeps(source) for source in range(5)] == [True, False, False, False, True]
    assert [lineup.after(stage) for stage in lineup.live] == [1, 2, 4, 5, None]


def test_gradients_have_no_past() -> None:
    with pytest.raises(UserError, match="gradients of a sample have no earlier visit"):
        compressed(backward_codec="delta:bits=4")


def test_differences_need_samples_that_come_again() -> None:
    with pytest.raises(UserError, match="stream without sample ids"):
        machines_of(forward_codec="delta:bits=4")
