"""Experiments from a file: which runs follow, that they are really done, and what the report says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from btard.deploy.experiment.local import swarm_settings
from btard.deploy.experiment.plan import ExperimentFile, RunSpec, load_experiment, runs_of
from btard.deploy.experiment.report import write_report
from btard.deploy.experiment.results import read_run
from btard.deploy.experiment.runner import DONE, checkpoint_of, run_directory, run_experiment
from btard.errors import UserError
from btard.vocabulary import CHECKPOINT_FILE
from tests.deploy.standins import ROOT, environment, eventually
from tests.swarm.events.lines import peer_line

TINY: dict[str, Any] = {
    "name": "trial",
    "task": "digits",
    "peers": 4,
    "byzantine": 1,
    "total_steps": 200,
    "tau": 0.05,
    "validators": 1,
    "checkpoints": [4],
    "attacks": [{"type": "SIGN_FLIPPING", "check_proba": 1.0}],
    "attack_after": 2,
    "attack_steps": 6,
    "seeds": [1],
}


def experiment(**changed: Any) -> ExperimentFile:
    return ExperimentFile.model_validate(TINY | changed)


class Recorder:
    """A backend that only writes what a run would leave."""

    def __init__(self, fails_at: str = "") -> None:
        self.ran: list[tuple[str, Path | None]] = []
        self.fails_at = fails_at

    def run(self, experiment: ExperimentFile, spec: RunSpec, directory: Path, initial: Path | None) -> None:
        self.ran.append((spec.name, initial))
        if spec.name == self.fails_at:
            raise UserError("the machines are gone")
        if spec.saves is not None:
            folder = directory / "coordinator" / "checkpoints" / f"step-{spec.saves:06d}"
            folder.mkdir(parents=True)
            (folder / CHECKPOINT_FILE).touch()


def test_the_published_experiment() -> None:
    found = runs_of(load_experiment(ROOT / "deploy/aws/examples/albert.yaml"))
    assert [(run.name, run.begins, run.until) for run in found[:2]] == [
        ("scratch-950", None, 950),
        ("scratch-4950", 950, 4950),
    ]
    attacked = [run for run in found if run.attack is not None]
    assert len(attacked) == 2 * 3 * 3 and len(found) == 2 + 2 * 4 * 3
    assert {(run.begins, run.attack_start, run.until) for run in attacked} == {(950, 1000, 1200), (4950, 5000, 5200)}
    assert len({run.name for run in found}) == len(found)


def test_every_example_is_an_experiment() -> None:
    files = sorted((ROOT / "deploy/aws/examples").glob("*.yaml"))
    assert len(files) >= 2 and all(runs_of(load_experiment(file)) for file in files)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"byzantine": 4}, "4 Byzantine peers of 4 leave nobody honest"),
        ({"checkpoints": [199]}, "ends after total_steps"),
        ({"attack_after": 6}, "must be below attack_steps"),
        ({"attacks": []}, "attacks in"),
        ({"nonsense": 1}, "nonsense in"),
        ({"name": "a b"}, "name in"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(tmp_path: Path, changed: dict[str, Any], sentence: str) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(yaml.safe_dump(TINY | changed))
    with pytest.raises(UserError, match=sentence):
        load_experiment(file)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_experiment(tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(UserError, match="not YAML"):
        load_experiment(tmp_path / "bad.yaml")


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    wanted, quiet = experiment(checkpoints=[4, 8]), Console(quiet=True)
    first = Recorder(fails_at="sign_flipping-4-seed-1")
    with pytest.raises(UserError, match="the machines are gone"):
        run_experiment(wanted, tmp_path, first, quiet)
    second = Recorder()
    specs = run_experiment(wanted, tmp_path, second, quiet)
    assert [name for name, _ in first.ran] == ["scratch-4", "scratch-8", "sign_flipping-4-seed-1"]
    assert second.ran == [
        ("sign_flipping-4-seed-1", checkpoint_of(tmp_path, 4)),
        ("sign_flipping-8-seed-1", checkpoint_of(tmp_path, 8)),
    ]
    assert all((run_directory(tmp_path, spec) / DONE).exists() for spec in specs)
    with pytest.raises(UserError, match="another experiment"):
        run_experiment(experiment(peers=5), tmp_path, second, quiet)


def test_a_run_of_the_local_backend(tmp_path: Path) -> None:
    spec = runs_of(experiment())[1]
    settings = swarm_settings(experiment(), spec, tmp_path, tmp_path / "state")
    assert (settings.byzantine, settings.attack, settings.attack_start) == (1, ["SIGN_FLIPPING"], 6)
    assert (settings.steps, settings.seed, settings.check_proba, settings.initial_state) == (
        200,
        1,
        1.0,
        tmp_path / "state",
    )
    scratch = swarm_settings(experiment(), runs_of(experiment())[0], tmp_path, None)
    assert (scratch.byzantine, scratch.checkpoint_steps, scratch.seed) == (0, (4,), 1337)


def write_peer(directory: Path, attack: str, events: list[dict[str, Any]]) -> None:
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text(yaml.safe_dump({"attack_type": attack}))
    (directory / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events) + '{"event": "st')


def test_results_are_of_honest_peers_and_end_where_the_run_ends(tmp_path: Path) -> None:
    def step(number: int, loss: float | None, members: int = 3, attacks: bool = False) -> dict[str, Any]:
        return peer_line("step", step=number, loss=loss, members=members, attacks=attacks)

    ban = peer_line("banned", peer="liar", step=6)
    write_peer(tmp_path / "peer-0", "NONE", [peer_line("joined", peer="a"), step(4, 2.0), step(5, 4.0), ban])
    write_peer(tmp_path / "peer-1", "NONE", [peer_line("joined", peer="b"), step(4, 1.0), step(9, 9.0, 2)])
    write_peer(tmp_path / "peer-2", "ALIE", [peer_line("joined", peer="liar"), step(4, 99.0), step(5, 99.0, 3, True)])
    (tmp_path / "coordinator").mkdir()
    result = read_run(tmp_path, until=9)
    assert result.losses == {4: 1.5, 5: 4.0} and result.alive == {4: 3, 5: 3}
    assert (result.attack_start, result.banned_liars, result.banned_honest, result.liars) == (5, (6,), (), 1)
    assert (result.first_loss, result.worst_loss) == (2.75, 4.0)


def command(file: Path, directory: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "btard.cli.main",
        "deploy",
        "aws",
        "experiment",
        str(file),
        "--directory",
        str(directory),
    ]


@pytest.mark.slow
@pytest.mark.swarm
def test_an_experiment_from_scratch_to_the_report(tmp_path: Path) -> None:
    """Interrupted in its first run, and gone on with: scratch, checkpoint, attack, report, all by real swarms."""
    file, directory = tmp_path / "trial.yaml", tmp_path / "results"
    file.write_text(yaml.safe_dump(TINY))
    cut = subprocess.Popen(command(file, directory), env=environment(), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pids = directory / "runs" / "scratch-4"
    eventually(lambda: len(list(pids.glob("peer-*/pid"))) == 4 or cut.poll() is not None, "the swarm", 120)
    started = [int(pid.read_text()) for pid in pids.glob("*/pid")]
    cut.send_signal(signal.SIGINT)
    cut.communicate(timeout=60)
    assert cut.returncode == 130
    assert not [pid for pid in started if _lives(pid)]

    result = subprocess.run(
        command(file, directory), env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    table = (directory / "report.md").read_text()
    assert "| scratch-4 | 0 to 4 |" in table
    attacked = next(line for line in table.splitlines() if line.startswith("| sign_flipping-4-seed-1"))
    cells = [cell.strip() for cell in attacked.split("|")]
    assert cells[2:4] == ["4 to 10", "6"] and cells[7:9] == ["3", "1 of 1"] and cells[10] == "0"
    assert (directory / "report.png").stat().st_size > 10_000 and (directory / "report.svg").exists()
    again = subprocess.run(command(file, directory), env=environment(), cwd=ROOT, capture_output=True, text=True)
    assert again.stdout.count("done before") == 2 and again.returncode == 0


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_report_of_what_is_done_so_far(tmp_path: Path) -> None:
    wanted = experiment()
    specs = runs_of(wanted)
    target = run_directory(tmp_path, specs[0])
    event = peer_line("step", step=0, loss=2.0, members=4, attacks=False)
    write_peer(target / "peer-0", "NONE", [peer_line("joined", peer="a"), event])
    (target / DONE).touch()
    report = write_report(wanted, specs, tmp_path)
    assert "1 of 2 runs are done" in report.table.read_text() and report.figure.exists()
