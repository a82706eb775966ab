"""A real swarm whose peers send over slow links."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from btard.configuration import load_settings
from btard.deploy.local.settings import SwarmSettings
from btard.deploy.local.swarm import run_swarm
from btard.errors import UserError
from btard.swarm.events.peer import StepFinished
from btard.swarm.events.reading import read_log
from btard.tasks.registry import load_task
from btard.tasks.training_state import TrainingState
from btard.transport.shaping import LinkConditions

PEERS, STEPS = 3, 3
LINK = "200kbit,20ms"


def test_another_link_is_told_in_a_sentence() -> None:
    with pytest.raises(UserError, match=r"--link is '100mb'.*such as 100mbit"):
        load_settings(SwarmSettings, ["--link", "100mb"], program="btard swarm")


@pytest.mark.slow
@pytest.mark.swarm
def test_a_step_takes_as_long_as_its_bytes(tmp_path: Path) -> None:
    words = f"--task digits --peers {PEERS} --byzantine 0 --validators 0 --steps {STEPS} --link {LINK}".split()
    settings = load_settings(SwarmSettings, [*words, "--directory", str(tmp_path / "run")], program="btard swarm")
    outcome = run_swarm(settings, Console(file=StringIO()))
    dimension = TrainingState(load_task("digits", "tiny"), seed=0).dimension
    # A peer sends a part of its vector to each other one, and then its own part's aggregate to each: float32.
    least = 2 * 4 * dimension * (PEERS - 1) / PEERS / LinkConditions.parse(LINK).rate
    took = [event.seconds for event in read_log(tmp_path / "run" / "peer-0") if isinstance(event, StepFinished)]
    assert outcome.summary.survivors == PEERS and len(took) == STEPS and least > 0.1
    assert min(took) >= least
