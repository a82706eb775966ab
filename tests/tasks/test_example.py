"""The example of the guide is built, installed beside the project, and trained by a swarm that bans a liar."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packages import ROOT, installed

EXAMPLE = ROOT / "examples" / "btard-task-example"

PROMISES = """
from blake3 import blake3
import torch
from btard.tasks.registry import load_task
from btard.tasks.training_state import TrainingState

torch.set_num_threads(1)
seeds = [blake3(bytes([number])).digest() for number in range(100)]
task = load_task("checkers:squares=2,width=16", "tiny")
again = load_task("checkers:squares=2,width=16", "tiny")
others = [load_task(text, "tiny") for text in ("checkers:squares=2", "checkers:width=16")]
batch = task.batch(seeds[0], 500)
print("repeats", all(torch.equal(batch.tensors[n], again.batch(seeds[0], 500).tensors[n]) for n in batch.tensors))
print("fingerprint", task.fingerprint == again.fingerprint, len({task.fingerprint, *(o.fingerprint for o in others)}))
held_out = {tuple(point) for point in task.evaluation_batch().tensors["points"].tolist()}
drawn = {tuple(point) for seed in seeds for point in task.batch(seed, 1000).tensors["points"].tolist()}
print("held out", len(held_out) + len(drawn) > 16_000, not held_out & drawn)
flipped = task.label_flipped(batch)
print("flipped", torch.equal(flipped.tensors["points"], batch.tensors["points"]),
      bool((flipped.tensors["labels"] != batch.tensors["labels"]).all()))
state = TrainingState(task, 1)
before = state.evaluate()
for seed in seeds:
    gradient, _ = state.gradient(task.batch(seed, 64), seed, 1.0)
    state.apply(gradient)
print("learns", before > 0.65, state.evaluate() < 0.2)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {**installed(EXAMPLE, tmp_path_factory.mktemp("example")), "COLUMNS": "150"}


def run(environment: dict[str, str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # From another folder than the project's, since a working directory is searched for packages first.
    command = [sys.executable, *words]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=240)


def test_the_example_keeps_what_a_task_promises(environment: dict[str, str], tmp_path: Path) -> None:
    found = run(environment, tmp_path, "-c", PROMISES)
    assert found.stdout.splitlines() == [
        "repeats True",
        "fingerprint True 3",
        "held out True True",
        "flipped True True",
        "learns True True",
    ], found.stderr


def test_the_commands_know_the_example(environment: dict[str, str], tmp_path: Path) -> None:
    listed = run(environment, tmp_path, "-m", "btard.cli.main", "data", "tasks", "checkers")
    assert listed.stdout.splitlines() == [
        "checkers: tiny",
        "  squares=3: squares a side; a whole number of squares from 2 to 16",
        "  width=64: width of both hidden layers; a whole number of numbers from 4 to 512",
    ], listed.stderr
    wrong = run(environment, tmp_path, "-m", "btard.cli.main", "data", "prepare", "--task", "checkers:squares=99")
    assert wrong.stderr.strip() == (
        "btard: the setting squares of the task checkers is 99, but must be a whole number of squares from 2 to 16"
    )


@pytest.mark.slow
@pytest.mark.swarm
def test_a_swarm_trains_the_example_and_bans_a_liar(environment: dict[str, str], tmp_path: Path) -> None:
    words = ["--task", "checkers:squares=2,width=16", "--batch-size", "64", "--steps", "12", "--validators", "0"]
    words += ["--peers", "4", "--byzantine", "1", "--attack", "WRONG_AGGREGATE", "--attack-start", "3"]
    found = run(environment, tmp_path, "-m", "btard.cli.main", "swarm", *words, "--directory", str(tmp_path / "run"))
    assert found.returncode == 0, found.stdout + found.stderr
    assert "trained checkers:squares=2,width=16 tiny with centered_clip for 12 steps" in found.stdout
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [(ban["attack"], ban["step"]) for ban in summary["bans"]] == [("WRONG_AGGREGATE", 3)]
    assert summary["survivors"] == 3 and summary["evaluation_loss"] < summary["first_loss"]
    manifest = json.loads((tmp_path / "run" / "coordinator" / "manifest.json").read_text())
    assert (manifest["task"], manifest["task_settings"]) == ("checkers", {"squares": 2, "width": 16})


@pytest.mark.swarm
def test_a_swarm_with_a_wrong_setting_ends_in_a_sentence(environment: dict[str, str], tmp_path: Path) -> None:
    words = ["swarm", "--task", "checkers:squares=99", "--peers", "4", "--byzantine", "0"]
    found = run(environment, tmp_path, "-m", "btard.cli.main", *words, "--directory", str(tmp_path / "run"))
    assert found.returncode == 2
    assert "the setting squares of the task checkers is 99, but must be a whole number" in found.stderr


def test_the_guide_shows_the_example() -> None:
    guide = (ROOT / "docs" / "writing-a-task.md").read_text()
    example = (EXAMPLE / "btard_task_example.py").read_text()
    shown = [line for line in guide.split("```python\n")[1].split("```")[0].splitlines() if line.strip()]
    assert len(shown) > 60
    missing = [line for line in shown if line not in example.splitlines()]
    assert not missing
    assert 'checkers = "btard_task_example:Checkers"' in guide
    assert 'checkers = "btard_task_example:Checkers"' in (EXAMPLE / "pyproject.toml").read_text()
