"""Real processes train a model in stages; some are killed, and the result is that of an undisturbed run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from btard.cli.main import main
from btard.coordinator.run_directory import RunDirectory
from btard.deploy.local.plan import Member
from btard.deploy.pipeline.processes import StageProcesses, StageProcessesPlan
from btard.deploy.pipeline.run import coordinator_words
from btard.errors import UserError
from btard.identity import IdentityKey, PeerId
from btard.pipeline.live.build import StageBuilder, beginning_of
from btard.pipeline.live.held.first_states import FirstStates
from btard.pipeline.machine.memory import run_stages
from btard.pipeline.seats.seating import Seating
from btard.pipeline.settings import StageProcess, TrialSettings
from btard.pipeline.stages.family import families
from btard.pipeline.stages.model_stage import Cut
from btard.pipeline.stages.partition import write_partition
from btard.pipeline.stages.split import Split
from btard.swarm.manifest import RunManifest
from btard.tasks.registry import load_task
from tests.deploy.pipeline.running import running
from tests.deploy.standins import ROOT, eventually, gone
from tests.pipeline.live.held.first import whole
from tests.pipeline.tiny import tiny_state

STAGES, SPARE, STEPS = 4, 3, 60


def settings(directory: Path, **changes) -> TrialSettings:
    given = {
        "split": "1-1-1-1",
        "spare": SPARE,
        "steps": STEPS,
        "keep_every": 2,
        "lost_after": 4.0,
        "stage_timeout": 60.0,
    }
    return TrialSettings(processes=StageProcess.REAL, output=directory, **given | changes)


def undisturbed(manifest: RunManifest, first: Mapping[int, bytes] | None = None) -> list[float]:
    """Return the losses of the same run in one process, over simulated messages; `first` is what its stages begin with,
    None where it is drawn from the seed."""
    torch.set_num_threads(1)
    builder = StageBuilder(manifest, load_task(manifest.chosen_task, manifest.size))
    stages = builder.terms.stages
    keys = [IdentityKey.from_seed(bytes([number + 1]) * 32) for number in range(stages)]
    seating = Seating(manifest.run, 1, 0, tuple(key.peer_id for key in keys), builder.beginning)
    known = first or {}
    states = [{number: known.get(number) for number in builder.held_by(stage)} for stage in range(stages)]
    machines = [builder.machine(seating, key, stage, states[stage]) for stage, key in enumerate(keys)]
    return [report.loss or 0.0 for report in run_stages(machines, manifest.total_steps)[-1].reports]


def tell_standstill(processes: StageProcesses, stage: int, name: str) -> None:
    """Kill a stage, and tell how long training stood; `-s` shows it."""
    assert processes.seating is not None
    number, before, killed = processes.seating.number, processes.step, time.monotonic()
    processes.kill(name)
    assert processes.wait(lambda: processes.seating is not None and processes.seating.number > number, 120)
    seated, went_back_to = time.monotonic(), processes.seating.step
    assert processes.wait(lambda: processes.step > before, 120)
    print(
        f"\nstage {stage} killed in step {before + 1}: another peer has its seat after {seated - killed:.1f} s, "
        f"all go on from step {went_back_to}, step {before + 1} is over after {time.monotonic() - killed:.1f} s"
    )


@pytest.mark.swarm
@pytest.mark.slow
def test_three_processes_killed_in_turn_change_no_bit(tmp_path: Path) -> None:
    told = settings(tmp_path / "run")
    plan = StageProcessesPlan.make(tmp_path / "run", STAGES + SPARE, coordinator_words(told), told.seed)
    with running(plan) as processes:
        victims = []
        for stage in (1, 3, 0):
            at = processes.step + 7
            assert processes.wait(lambda at=at: processes.step >= at, 240), f"no step {at}"
            victims.append(processes.name_of(stage))
            tell_standstill(processes, stage, victims[-1])
        assert processes.wait(lambda: not processes.pids, 300), "the run does not end"
        processes.look()
    assert len(set(victims)) == 3
    codes = {name: processes.codes[name] for name in processes.codes}
    assert codes == {name: -signal.SIGKILL if name in victims else 0 for name in codes} and len(codes) == 8
    losses = undisturbed(RunManifest.model_validate_json((plan.coordinator.directory / "manifest.json").read_bytes()))
    assert processes.losses[STEPS - 1] == losses[-1]
    assert all(processes.losses[step] == losses[step] for step in processes.losses), "a step went another way"
    assert processes.seating is not None and processes.seating.number == 5
    assert losses[-1] < 0.8 * losses[0], "nothing was learnt"


@pytest.mark.swarm
@pytest.mark.slow
def test_a_trained_model_goes_on_in_processes(tmp_path: Path) -> None:
    """Each stage fetches what it begins with from the coordinator, also one that comes in the place of a killed one."""
    config = families()["gpt2"].tiny(96, 3, 64)
    write_partition(Cut(config, Split((1, 1, 1))), tiny_state(config, seed=7), tmp_path / "stages")
    told = TrialSettings(
        processes=StageProcess.REAL, output=tmp_path / "run", partition=tmp_path / "stages", steps=20, keep_every=50
    )
    plan = StageProcessesPlan.make(tmp_path / "run", 4, coordinator_words(told), told.seed)
    with running(plan) as processes:
        assert processes.wait(lambda: processes.step >= 5, 240)
        processes.kill(processes.name_of(1))
        assert processes.wait(lambda: not processes.pids, 300), "the run does not end"
        processes.look()
    assert processes.seating is not None and processes.seating.number > 1
    manifest = RunManifest.model_validate_json((plan.coordinator.directory / "manifest.json").read_bytes())
    assert manifest.pipeline is not None
    digests = beginning_of(manifest.pipeline)
    shown = FirstStates(plan.coordinator.directory / "first-states", digests)
    losses = undisturbed(manifest, {stage: whole(shown, digest) for stage, digest in enumerate(digests)})
    assert [processes.losses[step] for step in range(20)] == losses


@pytest.mark.swarm
@pytest.mark.slow
def test_two_neighbours_killed_at_once_leave_their_states(tmp_path: Path) -> None:
    told = settings(tmp_path / "run", split="1-1-1", steps=90, keep_every=15)
    plan = StageProcessesPlan.make(tmp_path / "run", 6, coordinator_words(told), told.seed)
    with running(plan) as processes:
        assert processes.wait(lambda: processes.step >= 40, 240)
        for stage in (1, 2):
            processes.kill(processes.name_of(stage))
        assert processes.wait(lambda: processes.seating is not None and processes.seating.number > 1, 60)
        assert processes.seating is not None and processes.seating.step > 0, "the states of the two are lost"
        assert processes.wait(lambda: not processes.pids, 300), "the run does not end"
        processes.look()
    manifest = RunManifest.model_validate_json((plan.coordinator.directory / "manifest.json").read_bytes())
    assert processes.losses[89] == undisturbed(manifest)[-1]


@pytest.mark.swarm
@pytest.mark.slow
def test_training_goes_on_while_the_coordinator_is_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A visitor is shown the stages by the coordinator, and told in a sentence that it is away."""
    told = settings(tmp_path / "run", split="1-1", spare=1, steps=400)
    plan = StageProcessesPlan.make(tmp_path / "run", 3, coordinator_words(told), told.seed)
    with running(plan) as processes:
        assert processes.wait(lambda: processes.step >= 5, 240)
        capsys.readouterr()
        address = address_of_stage(plan, 0)
        assert main(["status", "--initial-peers", address, "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["step"] >= 5 and shown["seating"] == 1 and len(shown["waiting"]) == 1 and shown["awaited"] is None
        assert processes.seating is not None
        assert tuple(row["peer"] for row in shown["stages"]) == processes.seating.seats
        assert all(row["step"] is not None and row["sent_bytes"] > 0 for row in shown["stages"])
        processes.kill("coordinator")
        assert processes.wait(lambda: "coordinator" in processes.codes, 60)
        assert main(["status", "--initial-peers", address, "--timeout", "3"]) == 2
        sentence = capsys.readouterr().err.splitlines()[-1]
        assert sentence.startswith("btard: ") and "does not answer; it may be away" in sentence
        last = next(peer for peer in plan.peers if peer.name == processes.name_of(1))
        before = steps_of(last)
        assert processes.wait(lambda: steps_of(last) > before + 20, 120), "training stands"
        del processes.codes["coordinator"]
        processes.nursery.start(plan.start_of(plan.coordinator))
        away = processes.step
        assert processes.wait(lambda: processes.step > away + 20, 120), "the coordinator does not follow"
        assert processes.seating is not None and processes.seating.number == 1
        tell_standstill(processes, 0, processes.name_of(0))
        assert processes.wait(lambda: not processes.pids, 300), "the run does not end"
        processes.look()
    assert processes.codes["coordinator"] == 0
    manifest = RunManifest.model_validate_json((plan.coordinator.directory / "manifest.json").read_bytes())
    assert processes.losses[399] == undisturbed(manifest)[-1]


def address_of_stage(plan: StageProcessesPlan, stage: int) -> str:
    """Return where a stage's peer listens, as the coordinator has signed it."""
    directory = RunDirectory(plan.coordinator.directory)
    manifest = RunManifest.model_validate_json((directory.path / "manifest.json").read_bytes())
    signer = PeerId.parse(str(plan.coordinator.peer_id))
    seating = Seating.decode(directory.seating_file.read_bytes(), manifest.run, signer)
    peer = seating.seats[stage]
    return f"{seating.directory.addresses[peer][0]}/p2p/{peer}"


def steps_of(peer: Member) -> int:
    """Return how many steps a peer has told of in its log."""
    return peer.events.read_text().count('"event":"stage"')


@pytest.mark.swarm
@pytest.mark.slow
def test_an_interrupted_run_ends_its_step_and_all_processes(tmp_path: Path) -> None:
    words = ["--processes", "real", "--split", "1-1", "--spare", "0", "--steps", "5000"]
    run = subprocess.Popen(
        [sys.executable, "-m", "btard.cli.main", "pipeline", "run", *words, "--output", str(tmp_path / "run")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    steps = tmp_path / "run" / "coordinator" / "steps.jsonl"
    try:
        eventually(lambda: steps.exists() and steps.read_text().count("\n") > 3, "a step", 240)
        before = steps.read_text().count("\n")
        run.send_signal(signal.SIGINT)
        said, _ = run.communicate(timeout=120)
    finally:
        run.kill()
    assert run.returncode == 130
    assert "interrupted: the step is ended first" in said
    assert steps.read_text().count("\n") > before
    assert all(
        not (tmp_path / "run" / name / "identity.key.lock").read_text().strip("\0") for name in ("peer-0", "peer-1")
    )
    assert gone(run.pid)


def test_a_directory_with_a_run_is_refused(tmp_path: Path) -> None:
    StageProcessesPlan.make(tmp_path / "run", 1, (), 0)
    with pytest.raises(UserError, match="holds a run; give another --directory"):
        StageProcessesPlan.make(tmp_path / "run", 1, (), 0)
