"""From an alarm to a ban: each lie is proved, its author loses the seat, and nobody else does."""

from __future__ import annotations

import pytest
import torch

from btard.pipeline.choices import CheckMode
from btard.pipeline.defence.attacks import MessageLie
from btard.pipeline.defence.behaviour import StageBehaviour, StagePlace
from btard.pipeline.defence.behaviours import (
    Framer,
    LyingChecker,
    LyingJudge,
    Persistent,
    SilentFriend,
    WrongHash,
    WrongNorms,
)
from btard.pipeline.justice.evidence import StageEvidence
from btard.pipeline.justice.judgement import StageOffence
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.memory import SimulatedStage, run_stages
from tests.pipeline.machine.test_machine import JITTER, assert_duplicates_equal, machines_of
from tests.quick import quick

REVERSE, NOISE = Persistent(forward=MessageLie.REVERSE), Persistent(backward=MessageLie.NOISE)


def trained(liars: dict[int, StageBehaviour], steps: int = 2, **how) -> tuple[list[StageMachine], list[SimulatedStage]]:
    machines = machines_of(split="1-1-1-1-1", attackers=liars, share=1.0, **how)
    return machines, run_stages(machines, steps, conditions=JITTER)


def assert_banned(stages: list[SimulatedStage], seat: int, offence: StageOffence, step: int = 0) -> None:
    """Check that all honest stages have seen this one ban, and that its evidence holds."""
    for stage in stages:
        found = [(ban.step, ban.stage, StageEvidence.from_json(ban.evidence).offence) for ban in stage.bans]
        assert found == [(step, seat, offence)]
        StageEvidence.from_json(stage.bans[0].evidence).check()


@pytest.mark.parametrize(
    ("seat", "behaviour", "offence"),
    [
        (2, REVERSE, StageOffence.ACTIVATION),
        (1, NOISE, StageOffence.GRADIENT),
        (2, WrongNorms(), StageOffence.NORMS),
        (3, WrongHash(), StageOffence.STATE),
        (1, Framer(), StageOffence.TWO_FACED),
        (3, LyingChecker(), StageOffence.FALSE_ALARM),
    ],
)
def test_each_lie_costs_its_author_the_seat(seat: int, behaviour: StageBehaviour, offence: StageOffence) -> None:
    machines, stages = trained({seat: behaviour})
    assert_banned(stages, seat, offence)
    assert [report.accused != () for report in stages[0].reports] == [True, False]
    assert all(machine.context.vacant == {seat} for machine in machines)


@pytest.mark.parametrize(
    ("seat", "behaviour", "offence"),
    [
        (0, REVERSE, StageOffence.ACTIVATION),
        (4, NOISE, StageOffence.GRADIENT),
        (4, WrongNorms(), StageOffence.NORMS),
    ],
)
def test_the_ends_are_checked_by_drawn_stages(seat: int, behaviour: StageBehaviour, offence: StageOffence) -> None:
    _, stages = trained({seat: behaviour})
    assert_banned(stages, seat, offence)


@pytest.mark.parametrize("seat", quick(2, range(5)))
def test_drawn_checks_find_what_any_stage_sends(seat: int) -> None:
    for behaviour in ([REVERSE] if seat < 4 else []) + ([NOISE] if seat else []):
        _, stages = trained({seat: behaviour}, mode=CheckMode.DRAWN)
        offence = StageOffence.ACTIVATION if behaviour is REVERSE else StageOffence.GRADIENT
        assert_banned(stages, seat, offence)


def test_a_judge_that_names_the_innocent_is_banned_too() -> None:
    for judge in (0, 1, 4):
        _, stages = trained({2: REVERSE, judge: LyingJudge()})
        bans = {ban.stage: StageEvidence.from_json(ban.evidence) for ban in stages[1].bans}
        assert bans[2].offence is StageOffence.ACTIVATION
        if bans[2].verdict.judge == judge:
            assert bans[judge].offence is StageOffence.FALSE_VERDICT
            bans[judge].check()
            return
    pytest.fail("none of them was drawn")


def test_friends_cannot_have_an_honest_stage_banned() -> None:
    friends = frozenset({2, 3})
    _, stages = trained({2: SilentFriend(friends, REVERSE), 3: SilentFriend(friends, LyingChecker())}, steps=3)
    assert all(ban.stage in friends for stage in stages for ban in stage.bans)


def test_without_bans_the_suspects_are_passed_by_each_time() -> None:
    machines, stages = trained({2: REVERSE}, steps=3, ban=False)
    assert [report.accused for report in stages[0].reports] == [(2,)] * 3
    assert all(stage.bans == [] for stage in stages)
    assert_duplicates_equal(machines)


def test_a_seat_left_empty_is_passed_by() -> None:
    machines, stages = trained({2: REVERSE}, steps=3)
    assert [report.stepped for report in stages[1].reports] == [False, True, True]
    assert machines[0].context.lineup.live == (0, 1, 3, 4)


def test_a_stage_that_looks_strange_is_looked_at() -> None:
    machines = machines_of(split="1-1-1-1-1", mode=CheckMode.DRAWN, share=0.0)
    stages = run_stages(machines, 12)
    assert all(report.audits == () for report in stages[0].reports)
    machines[2].context.behaviour = Louder()
    stages = run_stages(machines, 2, first=12)
    assert [ban.stage for ban in stages[0].bans] == [2]


def test_the_last_stage_alone_bans_nobody() -> None:
    machines = machines_of(split="1-1-1", step_seconds=10.0)
    machines[-1]._court.banned.add(1)
    stages = run_stages(machines, 1)
    assert machines[0].context.vacant == frozenset() and stages[0].stalled is not None


class Louder(StageBehaviour):
    """Sends a million times what it has computed."""

    def activation(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        return 1e6 * honest
