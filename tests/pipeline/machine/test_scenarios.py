"""Runs with mixed lies, delays and losses: nobody honest is banned, and a stage that lies alone is, within 3 steps."""

from __future__ import annotations

import os

import pytest

from tests.pipeline.machine.scenarios import Scenario, problems, run
from tests.quick import stride

SEEDS = range(0, int(os.environ.get("TEST_SCENARIOS", "300")), stride(3))


@pytest.mark.parametrize("seed", [*range(0, 8, stride(3)), 858])
def test_liars_are_banned_and_nobody_else(seed: int) -> None:
    scenario = Scenario.draw(seed)
    assert problems(scenario, run(scenario)) == [], f"seed {seed}: {scenario}"


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_many_mixed_runs_ban_liars_alone(block: int) -> None:
    found = {}
    for seed in SEEDS[block::10]:
        scenario = Scenario.draw(seed)
        if wrong := problems(scenario, run(scenario)):
            found[seed] = (scenario, wrong)
    assert found == {}, "each of these seeds fails again by itself: python -m tests.pipeline.machine.scenarios N N+1"


def test_a_seed_replays_exactly() -> None:
    told = []
    for _ in range(2):
        stages = run(Scenario.draw(4))
        told.append([(stage.reports, stage.sent_bytes, stage.network.now, stage.bans) for stage in stages])
    assert told[0] == told[1]
