"""The script of a machine, run by bash with stand-ins for what only a machine at AWS has."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from btard.deploy.aws.fleet import HONEST, MachineRole, Spec, Wanted
from btard.deploy.aws.userdata import MOST_FAILURES, render

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIE = "ATTACK_TYPE=SIGN_FLIPPING ATTACK_START=1000"
STANDIN = """#!/bin/bash
echo "$(basename "$0") $*" >> "$CALLS"
case "$(basename "$0") $*" in
  *api/token*) echo token;;
  *local-ipv4*) echo 10.77.0.5;;
  *public-ipv4*) echo 203.0.113.5;;
  *secretsmanager*) echo very-secret-key;;
esac
if [ "$(basename "$0") ${1:-}" = "docker run" ]; then
  code=$(head -n 1 "$CODES"); sed -i 1d "$CODES"; exit "${code:-0}"
fi
"""


def spec(**changed: Any) -> Spec:
    given = {
        "experiment": "it's a trial",
        "region": "us-east-1",
        "ami": "ami-1",
        "worker_type": "g4dn.2xlarge",
        "coordinator_type": "r5.large",
        "spot": True,
        "max_price": None,
        "disk": 100,
        "root_device": "/dev/sda1",
        "gpu": True,
        "instance_profile": "peers",
        "subnet": "subnet-1",
        "security_group": "sg-1",
        "key_name": None,
        "addresses": "internal",
        "coordinator_image": "btard-coordinator",
        "peer_image": "1.dkr.ecr.us-east-1.amazonaws.com/btard-peer:1",
        "config": "task: albert\nexample: it's quoted\n",
        "wandb_secret": "wandb/key",
        "bucket": "results",
        "initial_state": None,
        "coordinator_price": 0.126,
        "worker_price": 0.3,
    }
    return Spec.model_validate(given | changed)


def wanted(**changed: Any) -> Wanted:
    given = {"workers": 4, "attackers": 1, "behaviour": LIE, "expires": NOW + timedelta(hours=4)}
    return Wanted.model_validate(given | changed)


def boot(tmp_path: Path, script: str, codes: str = "0\n") -> list[str]:
    """Run a script to its end; return the calls of what it found on its way."""
    binaries, calls = tmp_path / "bin", tmp_path / "calls"
    binaries.mkdir()
    for name in ("docker", "aws", "curl", "shutdown", "chown", "sleep"):
        (binaries / name).write_text(STANDIN)
        (binaries / name).chmod(0o755)
    (tmp_path / "codes").write_text(codes)
    # The background loop would never end with a sleep that takes no time.
    script = script.replace("(while sleep 60; do sync_files; done) &", "").replace("/run/btard.env", f"{tmp_path}/env")
    environment = {"PATH": f"{binaries}:{os.environ['PATH']}", "CALLS": str(calls), "CODES": f"{tmp_path}/codes"}
    result = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=30)
    assert result.stderr == "" and result.returncode == 0, result.stderr
    return calls.read_text().splitlines()


def test_a_coordinator_boots(tmp_path: Path) -> None:
    data = tmp_path / "data"
    script = render(spec(), wanted(), MachineRole.COORDINATOR, -1, now=NOW, data=str(data))
    calls = boot(tmp_path, script)
    assert calls[0] == "shutdown -h +241" and calls[-1] == "shutdown -h now"
    (run,) = [call for call in calls if call.startswith("docker run")]
    assert f"--user 1000:1000 -v {data}:/data --log-driver awslogs" in run and "--gpus" not in run
    assert run.endswith(
        "btard-coordinator --experiment it's a trial --directory /data/run --config /data/coordinator.yaml "
        "--dht-port 31337 --peers 4 --announce 10.77.0.5 --wandb online"
    )
    assert (data / "coordinator.yaml").read_text() == spec().config
    assert (tmp_path / "env").read_text() == "WANDB_API_KEY=very-secret-key\n"
    assert (tmp_path / "env").stat().st_mode & 0o077 == 0
    assert Spec.unpacked(script) == spec()


def test_an_attackers_boot_differs_only_by_its_environment(tmp_path: Path) -> None:
    scripts = [
        render(spec(), wanted(), role, 3, now=NOW, coordinator="10.77.0.4", data=str(tmp_path / "data"))
        for role in (MachineRole.WORKER, MachineRole.ATTACKER)
    ]
    calls = boot(tmp_path, scripts[0])
    assert any(call.startswith("docker login --username AWS") for call in calls)
    (run,) = [call for call in calls if call.startswith("docker run")]
    assert f"--gpus all -e {HONEST} 1.dkr.ecr.us-east-1.amazonaws.com/btard-peer:1" in run
    assert "--initial-peers 10.77.0.4:31337 --directory /data/run --port 31337" in run
    assert "--announce /ip4/10.77.0.5/tcp/31337" in run
    assert (
        scripts[1]
        .replace("attacker-3", "worker-3")
        .replace("-e ATTACK_TYPE=SIGN_FLIPPING -e ATTACK_START=1000", f"-e {HONEST}")
        == scripts[0]
    )


@pytest.mark.parametrize(
    ("codes", "runs"),
    [
        ("0\n", 1),
        ("3\n", 1),
        ("2\n", 1),
        ("4\n137\n0\n", 3),
        ("4\n3\n", 2),
        ("125\n" * 99, MOST_FAILURES),
        ("125\n" * 19 + "4\n" + "125\n" * 3 + "0\n", 24),
    ],
)
def test_only_what_may_pass_is_tried_again(tmp_path: Path, codes: str, runs: int) -> None:
    script = render(
        spec(), wanted(), MachineRole.WORKER, 0, now=NOW, coordinator="10.77.0.4", data=str(tmp_path / "data")
    )
    calls = boot(tmp_path, script, codes)
    assert sum(call.startswith("docker run") for call in calls) == runs
    assert calls[-1] == "shutdown -h now"


def test_public_addresses(tmp_path: Path) -> None:
    public = spec(addresses="public", bucket=None, wandb_secret=None, instance_profile=None)
    script = render(
        public, wanted(), MachineRole.WORKER, 0, now=NOW, coordinator="203.0.113.4", data=str(tmp_path / "data")
    )
    calls = boot(tmp_path, script)
    (run,) = [call for call in calls if call.startswith("docker run")]
    assert "--announce /ip4/203.0.113.5/tcp/31337" in run and "awslogs" not in run
    assert not any(call.startswith("aws s3") for call in calls)


def test_a_checkpoint_is_fetched_before_the_coordinator_starts(tmp_path: Path) -> None:
    want = wanted(generation=2, checkpoint=950)
    calls = boot(tmp_path, render(spec(), want, MachineRole.COORDINATOR, -1, now=NOW, data=str(tmp_path / "data")))
    source = "s3://results/it's a trial/generation-1/coordinator/checkpoints/step-000950"
    assert f"aws s3 sync --only-show-errors {source} {tmp_path}/data/initial-state" in calls
    given = spec(initial_state="s3://elsewhere/step-004950")
    script = render(given, wanted(), MachineRole.COORDINATOR, -1, now=NOW)
    assert "s3://elsewhere/step-004950" in script and "--initial-state /data/initial-state" in script


def test_a_replacing_coordinator_can_use_the_lost_ones_key(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "run").mkdir(parents=True)
    key = data / "run" / "identity.key"
    key.touch(0o644)  # as `aws s3 sync` leaves it
    boot(tmp_path, render(spec(), wanted(), MachineRole.COORDINATOR, -1, now=NOW, data=str(data)))
    assert key.stat().st_mode & 0o777 == 0o600


def test_no_secret_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, "very-secret-key")
    for role, slot in ((MachineRole.COORDINATOR, -1), (MachineRole.WORKER, 0), (MachineRole.ATTACKER, 3)):
        script = render(spec(), wanted(), role, slot, now=NOW, coordinator="10.77.0.4")
        unpacked = Spec.unpacked(script)
        text = script + ("" if unpacked is None else unpacked.model_dump_json())
        assert "very-secret-key" not in text
        assert ("wandb/key" in script) == (role is MachineRole.COORDINATOR), (
            "only the secret's name, and only where it is used"
        )
        assert len(script) < 12_000, "user data may have 16 KB"


def test_minutes_count_from_the_boot() -> None:
    late = render(
        spec(), wanted(), MachineRole.WORKER, 0, now=NOW + timedelta(hours=3, minutes=50), coordinator="10.77.0.4"
    )
    assert "shutdown -h +11\n" in late
    over = render(spec(), wanted(), MachineRole.WORKER, 0, now=NOW + timedelta(hours=5), coordinator="10.77.0.4")
    assert "shutdown -h +1\n" in over
