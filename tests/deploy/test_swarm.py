"""Whole swarms: real processes with p2pd on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from rich.console import Console

from btard.configuration import load_settings, to_yaml
from btard.deploy.local.plan import CONFIG_FILE, SwarmPlan, free_port, local_key, make_plan
from btard.deploy.local.settings import SwarmSettings
from btard.deploy.local.summary import Summary
from btard.deploy.local.swarm import run_swarm
from btard.errors import UserError
from btard.tasks.registry import load_task
from btard.tasks.training_state import TrainingState
from tests.deploy.standins import ROOT, environment, eventually, gone
from tests.quick import quick

STEPS = 10
WORDS = f"--task digits --peers 4 --byzantine 1 --attack-start 2 --validators 0 --steps {STEPS}".split()
"""Sign flipping without lottery and validators: nobody leaves, so that every peer's end can be checked."""


def command(directory: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "btard.cli.main", "swarm", *WORDS, "--directory", str(directory), *words]


def run(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(directory, *words),
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def launch(directory: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(directory, *words),
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def pids(directory: Path) -> list[int]:
    return [int(file.read_text()) for file in directory.glob("*/pid")]


def processes_of(directory: Path) -> list[psutil.Process]:
    """Every process that names the directory in its words, as each p2pd names its key, or that the run has noted."""
    found = []
    for process in psutil.process_iter():
        try:
            named = any(str(directory) in word for word in process.cmdline())
            if (named or process.pid in pids(directory)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def sockets_of(directory: Path) -> list[str]:
    """The socket directories that the swarm's locks still name."""
    records = [lock.read_text() for lock in directory.glob("*/identity.key.lock")]
    return [json.loads(record)["directory"] for record in records if record.strip("\0")]


def shared_memory(of: list[int]) -> list[Path]:
    return [path for path in Path("/dev/shm").iterdir() if any(f"_{pid}_" in path.name for pid in of)]


def assert_nothing_left(directory: Path, started: list[int], directories: set[Path]) -> None:
    eventually(lambda: not processes_of(directory), "the end of the last process")
    assert all(gone(pid) for pid in started)
    assert sockets_of(directory) == []
    assert not [path for path in directories if path.exists()]
    assert shared_memory(started) == []


def training(directory: Path) -> bool:
    """Whether every peer has finished a step."""
    events = list(directory.glob("peer-*/events.jsonl"))
    return len(events) == 4 and all('"step"' in file.read_text() and "seconds" in file.read_text() for file in events)


def own_p2pd_directories(directory: Path) -> set[Path]:
    return {Path(name) for name in sockets_of(directory)}


@pytest.mark.swarm
@pytest.mark.slow
def test_a_seed_repeats_the_model_that_a_swarm_trains(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        directory = tmp_path / name
        result = run(directory, "--seed", "7")
        assert result.returncode == 0, result.stdout + result.stderr
        assert "trained digits tiny with centered_clip for 10 steps" in result.stdout
        summary = Summary.model_validate_json((directory / "summary.json").read_text())
        assert (summary.steps, summary.survivors, summary.attack_start, summary.bans) == (STEPS, 3, 2, ())
        assert summary.evaluation_loss is not None
        assert (directory / "figure.png").stat().st_size > 10_000 and (directory / "figure.svg").exists()
        assert yaml.safe_load((directory / "config.yaml").read_text())["seed"] == 7
        for peer in range(4):
            assert '"finished"' in (directory / f"peer-{peer}" / "events.jsonl").read_text()
        assert_nothing_left(directory, pids(directory), set())
        checkpoint = directory / "coordinator" / "checkpoints" / f"step-{STEPS:06d}" / "checkpoint.json"
        digests.append(json.loads(checkpoint.read_text())["state_digest"])
    assert digests[0] == digests[1]


@pytest.mark.swarm
@pytest.mark.parametrize("number", quick(1, [signal.SIGKILL, signal.SIGINT, signal.SIGTERM]))
def test_whatever_ends_the_launcher_ends_the_swarm(tmp_path: Path, number: signal.Signals) -> None:
    launcher = launch(tmp_path, "--steps", "100000")
    try:
        eventually(lambda: training(tmp_path) or launcher.poll() is not None, "the first step of every peer", 120)
        started, directories = pids(tmp_path), own_p2pd_directories(tmp_path)
        assert len(started) == 5 and len(directories) == 5, launcher.stdout
        launcher.send_signal(number)
        said, _ = launcher.communicate(timeout=60)
    finally:
        launcher.kill()
    if number is signal.SIGKILL:
        assert launcher.returncode == -signal.SIGKILL
    else:
        assert launcher.returncode == 130
        assert "every process of the swarm has ended" in said
    assert_nothing_left(tmp_path, started, directories)


@pytest.mark.swarm
def test_a_coordinator_that_dies_is_named_and_the_swarm_ended(tmp_path: Path) -> None:
    launcher = launch(tmp_path, "--steps", "100000")
    try:
        eventually(lambda: training(tmp_path) or launcher.poll() is not None, "the first step of every peer", 120)
        started, directories = pids(tmp_path), own_p2pd_directories(tmp_path)
        os.kill(int((tmp_path / "coordinator" / "pid").read_text()), signal.SIGKILL)
        said, _ = launcher.communicate(timeout=60)
    finally:
        launcher.kill()
    assert launcher.returncode == 2
    assert "btard: coordinator was killed by signal 9; the end of" in said.splitlines()[-1]
    assert_nothing_left(tmp_path, started, directories)


def steps_of(directory: Path, event: str) -> list[int]:
    """The steps that a peer tells of in events of a name."""
    lines = (directory / "peer-0" / "events.jsonl").read_text().splitlines()
    return [told["step"] for told in map(json.loads, lines) if told["event"] == event]


@pytest.mark.slow
@pytest.mark.swarm
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_same_command_goes_on_with_a_run_that_was_ended(tmp_path: Path, number: signal.Signals) -> None:
    """All say goodbye, or none can."""
    launcher = launch(tmp_path, "--steps", "150")
    try:
        eventually(lambda: training(tmp_path) and max(steps_of(tmp_path, "step")) >= 20, "step 20", 120)
        launcher.send_signal(number)
        launcher.communicate(timeout=60)
    finally:
        launcher.kill()
    eventually(lambda: not processes_of(tmp_path), "the end of the last process")
    result = run(tmp_path, "--steps", "150")
    assert result.returncode == 0, result.stdout + result.stderr
    assert Summary.model_validate_json((tmp_path / "summary.json").read_text()).steps == 150
    assert steps_of(tmp_path, "joined")[-1] > 0, "it begins where it was"
    again = run(tmp_path, "--steps", "150")
    assert again.returncode == 2 and "holds a run that is over; give another --directory" in again.stderr


def test_a_run_goes_on_by_its_own_settings_only(tmp_path: Path) -> None:
    words = ["--task", "digits", "--size", "tiny"]
    plan = plan_of(tmp_path, *words)
    assert isinstance(plan, SwarmPlan)
    plan.coordinator.events.write_text("")
    with pytest.raises(UserError, match="does not say by which settings"):
        plan_of(tmp_path, *words)
    (tmp_path / CONFIG_FILE).write_text(to_yaml(plan.settings))
    assert plan_of(tmp_path, *words, "--port", str(free_port())) is not None
    with pytest.raises(UserError, match=r"holds a run with another --steps: give --config .*\.yaml to go on"):
        plan_of(tmp_path, *words, "--steps", "300")


@pytest.mark.swarm
def test_what_the_coordinator_refuses_is_told(tmp_path: Path) -> None:
    """A state that is cut is known when it is loaded, and not before."""
    TrainingState(load_task("digits", "tiny"), 0).save_checkpoint(tmp_path / "checkpoint", 1)
    (state,) = (tmp_path / "checkpoint").glob("*.safetensors")
    state.write_bytes(state.read_bytes()[:-1])
    result = run(tmp_path / "run", "--initial-state", str(tmp_path / "checkpoint"))
    assert result.returncode == 2
    assert f"{state.name} was cut or changed" in result.stderr


def plan_of(tmp_path: Path, *words: str) -> object:
    settings = load_settings(SwarmSettings, ["--directory", str(tmp_path), *words], program="btard swarm", environ={})
    return make_plan(settings)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--task", "chess"], "no task 'chess'"),
        (
            ["--attack", "SIGN_FLIPING"],
            "--attack is 'SIGN_FLIPING', but must be one of .*perhaps SIGN_FLIPPING was meant",
        ),
        (["--byzantine", "8"], "8 Byzantine peers of 8 leave nobody honest"),
        (["--peers", "0"], "--peers is 0, but must be a whole number"),
        (["--warmup-steps", "500", "--steps", "100"], "the warm-up of 500 steps must be shorter than the run of 100"),
        (["--task", "gpt:width=3"], "the task gpt has no setting 'width'"),
        (["--size", "huge"], "the task gpt has no size 'huge'; it has tiny, small"),
        (["--rule", "trimmed_mean:share=0.9"], "trimmed_mean cannot be 'trimmed_mean:share=0.9'"),
        (["--auditors", "3"], "a sum proves what centered_clip gives, so nobody audits it"),
        (["--rule", "centered_clip:tau=1", "--tau", "2"], "contradicts a tau of 2"),
        (["--initial-state", "/nonexistent/x"], "there is no checkpoint in /nonexistent/x"),
        (
            ["--dashboard", ":0", "--dashboard-token-file", "/nonexistent/x"],
            "--dashboard-token-file /nonexistent/x can",
        ),
        (["--dashboard", ":8099", "--port", "8099"], "--port and --dashboard both name port 8099"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(tmp_path: Path, words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        plan_of(tmp_path / "run", *words)
    assert not (tmp_path / "run").exists()


def test_attacks_are_dealt_in_turn_and_keys_come_from_the_seed(tmp_path: Path) -> None:
    settings = SwarmSettings.model_validate(
        {"directory": tmp_path, "peers": 12, "byzantine": 3, "attack": ["SIGN_FLIPPING", "LABEL_FLIPPING"], "seed": 3}
    )
    plan = make_plan(settings)
    assert [peer.attack for peer in plan.peers] == ["NONE"] * 9 + ["SIGN_FLIPPING", "LABEL_FLIPPING", "SIGN_FLIPPING"]
    assert plan.peers[11].name == "peer-11" and plan.peers[1].name == "peer-01"
    assert plan.peers[1].peer_id == local_key(3, "peer-01").peer_id != local_key(4, "peer-01").peer_id
    assert make_plan(settings).peers == plan.peers, "the keys that are there already are used"
    with pytest.raises(UserError, match="another seed"):
        make_plan(settings.model_copy(update={"seed": 4}))


def test_variables_for_the_swarm_do_not_turn_honest_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTACK_TYPE", "SIGN_FLIPPING")
    monkeypatch.setenv("CHECK_PROBA", "0.5")
    monkeypatch.setenv("BTARD_PEERS", "5")
    settings = load_settings(SwarmSettings, ["--directory", str(tmp_path)], program="btard swarm")
    plan = make_plan(settings)
    assert (len(plan.peers), settings.check_proba, settings.attack) == (5, 0.5, ["SIGN_FLIPPING"])
    assert plan.environment().keys().isdisjoint({"ATTACK_TYPE", "CHECK_PROBA", "BTARD_PEERS"})
    assert plan.start_peer(plan.peers[0]).environment == {}
    liar = plan.start_peer(plan.peers[-1]).environment
    assert (liar["ATTACK_TYPE"], liar["ATTACK_START"], liar["CHECK_PROBA"]) == ("SIGN_FLIPPING", "20", "0.5")


def test_a_directory_with_a_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "coordinator").mkdir()
    (tmp_path / "coordinator" / "events.jsonl").touch()
    with pytest.raises(UserError, match=r"holds a run, but .*config\.yaml does not say by which settings"):
        run_swarm(SwarmSettings.model_validate({"directory": tmp_path}), Console(quiet=True))


def test_a_signal_at_the_very_end_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("btard.deploy.local.swarm._Swarm.run", lambda _: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run_swarm(SwarmSettings.model_validate({"directory": tmp_path, "task": "digits"}), Console(quiet=True))


def test_a_free_port_is_a_port() -> None:
    assert 1024 < free_port() < 65536


def test_a_closed_group_lists_the_own_peers_of_a_swarm(tmp_path: Path) -> None:
    listed = tmp_path / "listed"
    words = [*WORDS, "--directory", str(tmp_path / "run"), "--members", str(listed)]
    keys = {name: str(local_key(0, name).peer_id) for name in (f"peer-{number}" for number in range(4))}
    outsider = str(local_key(0, "a friend's machine").peer_id)
    listed.write_text(f"{keys['peer-0']}\n{outsider}\n{keys['peer-2']}\n")
    settings = load_settings(SwarmSettings, words, program="btard swarm")
    with pytest.raises(UserError) as caught:
        make_plan(settings)
    said = str(caught.value)
    assert "lists 2 of the 4 peers" in said and not (tmp_path / "run").exists()
    assert said.endswith(f"{keys['peer-1']} # peer-1, {keys['peer-3']} # peer-3")
    with listed.open("a") as file:
        file.write("\n".join(said.rpartition("lines: ")[2].split(", ")))
    start = make_plan(settings).start_coordinator()
    assert start.argv[start.argv.index("--members") + 1] == str(listed)
