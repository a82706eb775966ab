"""An experiment on AWS, against moto, to its report; the test puts into the bucket what machines would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from rich.console import Console

from btard.deploy.aws.backend import AwsBackend
from btard.deploy.aws.bucket import BucketFiles, find_checkpoint, next_generation
from btard.deploy.aws.cloud import Cloud
from btard.deploy.aws.fleet import Machine
from btard.deploy.aws.machines import Machines
from btard.deploy.aws.settings import AccountSettings
from btard.deploy.experiment.plan import ExperimentFile
from btard.errors import UserError
from btard.vocabulary import CHECKPOINT_FILE
from tests.deploy.aws.account import BUCKET, NAME, UP, Account
from tests.deploy.standins import ROOT, eventually
from tests.swarm.events.lines import peer_line

EXPERIMENT: dict[str, Any] = {
    "name": NAME,
    "backend": "aws",
    "task": "digits",
    "peers": 3,
    "byzantine": 1,
    "total_steps": 100,
    "checkpoints": [4],
    "attacks": [{"type": "SIGN_FLIPPING"}],
    "attack_after": 1,
    "attack_steps": 4,
    "aws": {
        "ami": "ami-12c6146b",
        "bucket": "results",
        "instance_profile": "peers",
        "interval": 0.2,
        "poll": 0.05,
        "patience": 60,
    },
}
SCRATCH, ATTACKED = f"{NAME}-scratch-4", f"{NAME}-sign_flipping-4-seed-0"
STATE = "coordinator/checkpoints/step-000004"


def put(run: str, generation: int, name: str, text: str) -> None:
    boto3.client("s3").put_object(Bucket="results", Key=f"{run}/generation-{generation}/{name}", Body=text.encode())


def put_checkpoint(run: str, generation: int) -> None:
    put(run, generation, f"{STATE}/{CHECKPOINT_FILE}", json.dumps({"state_file": "state-0.safetensors"}))
    put(run, generation, f"{STATE}/state-0.safetensors", "numbers")


def put_steps(run: str, generation: int, machine: str, steps: range) -> None:
    events: list[dict[str, Any]] = [peer_line("joined", peer=machine)]
    events += [peer_line("step", step=step, loss=2.0, members=3, attacks=False) for step in steps]
    put(run, generation, f"{machine}/events.jsonl", "".join(json.dumps(event) + "\n" for event in events))


def alive(run: str) -> dict[str, Machine]:
    found = Machines(Cloud(AccountSettings(experiment=run))).list()
    return {machine.name: machine for machine in found if machine.alive}


def start(account: Account, file: Path, directory: Path) -> subprocess.Popen[str]:
    words = ["deploy", "aws", "experiment", str(file), "--directory", str(directory), "--yes"]
    return subprocess.Popen(
        [sys.executable, "-m", "btard.cli.main", *words],
        env={**os.environ, **account.environment, "PYTHONUNBUFFERED": "1"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_an_experiment_is_interrupted_and_gone_on_with(account: Account, tmp_path: Path) -> None:
    account.make_bucket()
    file, directory = tmp_path / "trial.yaml", tmp_path / "results"
    file.write_text(yaml.safe_dump(EXPERIMENT))
    everybody = {"coordinator", "worker-0", "worker-1", "worker-2"}

    first = start(account, file, directory)
    eventually(lambda: set(alive(SCRATCH)) == everybody or first.poll() is not None, "the first fleet", 120)
    put(SCRATCH, 0, "coordinator/roster.json", "of peers that will be gone")
    put_steps(SCRATCH, 0, "worker-0", range(4))
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 130 and not alive(SCRATCH), said

    second = start(account, file, directory)
    try:
        eventually(lambda: set(alive(SCRATCH)) == everybody or second.poll() is not None, "the second fleet", 120)
        assert {machine.generation for machine in alive(SCRATCH).values()} == {1}, "else it follows lost members"
        put_steps(SCRATCH, 1, "worker-0", range(4))
        put_checkpoint(SCRATCH, 1)
        there = everybody - {"worker-2"} | {"attacker-2"}
        eventually(lambda: set(alive(ATTACKED)) == there or second.poll() is not None, "the attacked fleet", 120)
        assert second.poll() is None and not alive(SCRATCH)
        told = account.user_data(alive(ATTACKED)["coordinator"])
        assert f"s3://results/{SCRATCH}/generation-1/{STATE}" in told
        assert "ATTACK_START=5" in account.user_data(alive(ATTACKED)["attacker-2"])
        put_steps(ATTACKED, 0, "worker-0", range(4, 8))
        put_steps(ATTACKED, 0, "attacker-2", range(4, 8))
        said, _ = second.communicate(timeout=120)
    finally:
        if second.poll() is None:
            second.kill()
            second.communicate()
    assert second.returncode == 0, said
    assert "2 runs one after the other" in said and not alive(ATTACKED)
    table = (directory / "report.md").read_text()
    assert "2 of 2 runs are done" in table and f"| {ATTACKED.removeprefix(NAME + '-')} | 4 to 8 |" in table

    third = start(account, file, directory)
    said, _ = third.communicate(timeout=120)
    assert third.returncode == 0 and said.count("done before") == 2 and "USD" not in said, said


def test_what_does_not_fit_is_told_before_the_first_run(account: Account, tmp_path: Path) -> None:
    account.make_bucket()
    for changed, sentence in (
        ({"attacks": [{"type": "NONSENSE"}]}, "'NONSENSE'"),
        ({"attacks": [{"type": "A" * 60}]}, "experiment of aws"),
        ({"aws": EXPERIMENT["aws"] | {"ami": "ami-1", "workerz": 3}}, "workerz of aws"),
    ):
        with pytest.raises(UserError, match=sentence):
            AwsBackend(ExperimentFile.model_validate(EXPERIMENT | changed), tmp_path, Console(quiet=True), yes=True)


def test_the_record_of_a_checkpoint_is_not_the_checkpoint(account: Account, tmp_path: Path) -> None:
    """Machines send both at once, and the small record is there first: ended then, the run would have no state."""
    account.make_bucket()
    files = BucketFiles(Cloud(AccountSettings(experiment=SCRATCH)), "results", tmp_path)
    put(SCRATCH, 0, f"{STATE}/{CHECKPOINT_FILE}", json.dumps({"state_file": "state-0.safetensors"}))
    files.fetch(0)
    assert not files.has_checkpoint(4)
    put_checkpoint(SCRATCH, 0)
    files.fetch(0)
    assert files.has_checkpoint(4) and not files.has_checkpoint(5)


def test_generations(account: Account) -> None:
    account.make_bucket()
    cloud = Cloud(AccountSettings(experiment=SCRATCH))
    assert next_generation(cloud, "results") == 0
    assert find_checkpoint(cloud, "results", SCRATCH, 4) is None
    for generation in (0, 2, 10):
        put_checkpoint(SCRATCH, generation)
    assert next_generation(cloud, "results") == 11
    assert find_checkpoint(cloud, "results", SCRATCH, 4) == f"s3://results/{SCRATCH}/generation-10/{STATE}"
    code, said = account.run("up", *BUCKET[:1], "elsewhere", *BUCKET[2:], *UP)
    assert code == 2 and "there is no such --bucket" in said
