"""Accidents of real processes: the others go on within seconds, and those that were hit come back."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from btard.deploy.chaos.accidents import Accident
from btard.deploy.chaos.programs import Programs
from btard.deploy.chaos.table import running, settings_for, strike_once
from btard.deploy.local.plan import make_plan

pytestmark = pytest.mark.slow

PEERS = 5


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    directory: Path = tmp_path_factory.mktemp("chaos") / "run"
    plan = make_plan(settings_for(PEERS, 1, directory, "swarm"))
    with running(plan) as programs:
        assert programs.wait(lambda: all(peer.step >= 20 for peer in programs.peers), 120)
        yield programs


# What the others stand for when two of five, or most, are gone at once is decided by time: docs/reliability.md.
SINGLE = [accident for accident in Accident if accident not in (Accident.KILL_TWO, Accident.KILL_MOST)]


@pytest.mark.parametrize("accident", SINGLE)
def test_the_others_go_on_and_those_hit_come_back(swarm: Programs, accident: Accident) -> None:
    strike = strike_once(accident, swarm, random.Random(accident.value))
    longest_seconds = 30.0  # half a minute on a machine that does other things, too; far below any deadline's end
    assert strike.stood_seconds < longest_seconds
    assert strike.back_seconds is not None and strike.back_seconds < longest_seconds
    assert not any(peer.banned for peer in swarm.peers)
