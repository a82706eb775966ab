"""The clock of a step's stages."""

from __future__ import annotations

import pytest

from btard.transport.stages import Stage, StageClock


def test_each_stage_gets_the_time_until_the_next() -> None:
    clock = StageClock()
    clock.restart(10.0)
    for stage, now in ((Stage.SCATTER, 11.0), (Stage.AGGREGATE, 13.0), (Stage.GATHER, 13.5), (Stage.AGREE, 14.0)):
        clock.enter(stage, now)
    clock.stop(15.0)
    assert list(clock.seconds) == list(Stage)
    assert list(clock.seconds.values()) == pytest.approx([1.0, 2.0, 0.5, 0.5, 0.0, 1.0])


def test_a_repeated_attempt_adds_up_and_a_new_step_begins_anew() -> None:
    clock = StageClock()
    clock.restart(0.0)
    clock.enter(Stage.SCATTER, 1.0)
    clock.enter(Stage.COMPUTE, 5.0)
    clock.enter(Stage.SCATTER, 6.0)
    assert clock.seconds[Stage.COMPUTE] == 2.0 and clock.seconds[Stage.SCATTER] == 4.0
    clock.restart(7.0)
    assert not any(clock.seconds.values())


def test_nothing_counts_outside_of_a_step() -> None:
    clock = StageClock()
    clock.enter(Stage.AGREE, 3.0)
    clock.restart(4.0)
    clock.stop(5.0)
    clock.enter(Stage.SCATTER, 9.0)
    assert sum(clock.seconds.values()) == 1.0
