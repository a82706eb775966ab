"""Real processes: a stage that lies loses its seat to a peer that waits, and codecs change no bit of the losses."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from btard.cli.main import main
from btard.deploy.pipeline.processes import StageProcesses, StageProcessesPlan
from btard.deploy.pipeline.run import coordinator_words
from btard.swarm.manifest import RunManifest
from tests.deploy.pipeline.running import running
from tests.deploy.pipeline.test_processes import settings, undisturbed

LIES_FROM, LIAR, STEPS = 13, 2, 24
LIES = {"FORWARD_ATTACK": "reverse", "ATTACK_START": str(LIES_FROM)}


def run_to_the_end(plan: StageProcessesPlan, *, in_order: bool = False) -> StageProcesses:
    with running(plan, in_order=in_order) as processes:
        assert processes.wait(lambda: not processes.pids, 120), "the run does not end"
        processes.look()
    return processes


def manifest_of(plan: StageProcessesPlan) -> RunManifest:
    return RunManifest.model_validate_json((plan.coordinator.directory / "manifest.json").read_bytes())


@pytest.mark.swarm
@pytest.mark.slow
def test_a_stage_that_lies_loses_its_seat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = settings(tmp_path / "run", steps=STEPS, spare=1, keep_every=4)
    plan = StageProcessesPlan.make(tmp_path / "run", 5, coordinator_words(told), told.seed)
    plan = replace(plan, environments={plan.peers[LIAR].name: LIES})
    processes = run_to_the_end(plan, in_order=True)
    liar = str(plan.peers[LIAR].peer_id)
    summary = processes.summary()
    assert summary is not None and summary["banned"] == [liar], "others are banned, or nobody"
    (ban,) = summary["bans"]
    assert (ban["offence"], ban["stage"], ban["step"]) == ("ACTIVATION", LIAR, LIES_FROM)
    codes = {name: processes.codes[name] for name in processes.codes}
    assert codes == {name: 3 if name == plan.peers[LIAR].name else 0 for name in codes} and len(codes) == 6
    assert processes.seating is not None
    assert processes.seating.seats[LIAR] == str(plan.peers[4].peer_id)
    clean = undisturbed(manifest_of(plan))
    assert summary["training_loss"] == pytest.approx(clean[-1], rel=0.01)
    assert summary["training_loss"] == clean[-1], "all have gone back behind the lie, so no bit differs"
    assert last_step_of_the_liar(plan) < LIES_FROM + 3
    assert main(["verdict", ban["evidence"]]) == 0
    assert "PROVEN" in capsys.readouterr().out


def last_step_of_the_liar(plan: StageProcessesPlan) -> int:
    lines = plan.peers[LIAR].events.read_text().splitlines()
    return max(line["step"] for line in map(json.loads, lines) if line["event"] == "stage")


@pytest.mark.swarm
@pytest.mark.slow
@pytest.mark.parametrize("check", ["live", "drawn"])
def test_codecs_of_real_stages_change_no_bit(tmp_path: Path, check: str) -> None:
    codecs = {"forward_codec": "delta:bits=4", "backward_codec": "fixpoint:bits=8"}
    told = settings(
        tmp_path / "run", split="1-1-1", spare=0, steps=12, epoch_samples=24, check=check, share=0.2, **codecs
    )
    plan = StageProcessesPlan.make(tmp_path / "run", 3, coordinator_words(told), told.seed)
    processes = run_to_the_end(plan)
    assert set(processes.codes.values()) == {0}
    losses = undisturbed(manifest_of(plan))
    assert processes.losses[11] == losses[-1]
    assert all(processes.losses[step] == losses[step] for step in processes.losses), "a step went another way"
    first, later = least_sent(plan, range(3)), least_sent(plan, range(3, 12))
    assert later < 0.6 * first, "samples that come again are not sent in fewer bytes"


def least_sent(plan: StageProcessesPlan, steps: range) -> int:
    """Return the bytes that the first stage sends in a step in which nobody asks for its record."""
    lines = (plan.coordinator.directory / "stages.jsonl").read_text().splitlines()
    return min(line["sent_bytes"] for line in map(json.loads, lines) if line["step"] in steps and line["stage"] == 0)


@pytest.mark.swarm
@pytest.mark.slow
def test_a_stage_that_comes_anew_begins_with_empty_caches(tmp_path: Path) -> None:
    codecs = {"forward_codec": "delta:bits=4", "backward_codec": "fixpoint:bits=8"}
    told = settings(tmp_path / "run", split="1-1-1", spare=1, steps=20, epoch_samples=24, **codecs)
    plan = StageProcessesPlan.make(tmp_path / "run", 4, coordinator_words(told), told.seed)
    with running(plan) as processes:
        assert processes.wait(lambda: processes.step >= 7, 240)
        victim = processes.name_of(1)
        processes.kill(victim)
        assert processes.wait(lambda: not processes.pids, 120), "the run does not end"
        processes.look()
    assert processes.codes == {name: -signal.SIGKILL if name == victim else 0 for name in processes.codes}
    assert processes.losses[19] < 0.9 * processes.losses[0], "nothing was learnt"
