"""What a machine does when it boots: limits its own life first, then runs its container. No secret is in it.

The machine switches itself off when its program has ended for good, and is terminated by that. Secrets are fetched by
the machine, with the rights of its instance profile, into a file in memory.
"""

from __future__ import annotations

import shlex
from datetime import datetime

from btard.deploy.aws.fleet import MachineRole, Spec, Wanted, name_of
from btard.deploy.aws.settings import Addresses

PORT = 31337
DATA = "/data"
SYNC_SECONDS = 60
RETRY_SECONDS = 15
MOST_FAILURES = 20
USER = "1000:1000"

_SECRETS = "/run/btard.env"
_BANNED, _USER_ERROR, _NOT_STARTED = 3, 2, 125


def log_group(experiment: str) -> str:
    """Return where CloudWatch keeps the experiment's logs."""
    return f"/btard/{experiment}"


def stored_at(spec: Spec, generation: int, name: str) -> str:
    """Return where the bucket has the files of a machine."""
    return f"s3://{spec.bucket}/{spec.experiment}/generation-{generation}/{name}"


def checkpoint_at(spec: Spec, wanted: Wanted) -> str | None:
    """Return where the checkpoint is that the coordinator begins with."""
    if wanted.checkpoint is not None:
        return f"{stored_at(spec, wanted.generation - 1, 'coordinator')}/checkpoints/step-{wanted.checkpoint:06d}"
    return spec.initial_state


def render(
    spec: Spec,
    wanted: Wanted,
    role: MachineRole,
    slot: int,
    *,
    now: datetime,
    coordinator: str | None = None,
    data: str = DATA,
) -> str:
    """Return the script of a machine.

    Args:
        spec: of the fleet.
        wanted: what the fleet is to be.
        role: of the machine.
        slot: of the machine.
        now: the time, from which the minutes until the time limit count.
        coordinator: the coordinator's address, for peers.
        data: the machine's directory for the run.
    """
    name = name_of(role, slot)
    minutes = max(1, int((wanted.expires - now).total_seconds() // 60) + 1)
    lines = ["#!/bin/bash"]
    if role is MachineRole.COORDINATOR:
        lines.append(spec.packed())
    lines += [
        f"shutdown -h +{minutes}",
        "set -u",
        f"export AWS_DEFAULT_REGION={shlex.quote(spec.region)}",
        f"data={shlex.quote(data)}",
        'mkdir -p "$data"',
        *_address(spec),
        *_secret(spec, role),
    ]
    image = spec.coordinator_image if role is MachineRole.COORDINATOR else spec.peer_image
    lines += _login(image)
    if role is MachineRole.COORDINATOR:
        lines += _coordinator_files(spec, wanted)
    lines += ['chown -R 1000:1000 "$data"', *_sync(spec, stored_at(spec, wanted.generation, name))]
    words = (
        _coordinator_words(spec, wanted) if role is MachineRole.COORDINATOR else _peer_words(spec, coordinator or "")
    )
    environment = [] if role is MachineRole.COORDINATOR else wanted.behaviour_of(role).split()
    lines += [
        "failures=0",
        "while true; do",
        f"  {_docker(spec, role, name, image, environment)} {words}",
        "  code=$?",
        f"  case $code in 0|1|{_USER_ERROR}|{_BANNED}) break;; esac",
        # Docker's own failure, such as an image that is nowhere, costs as much as a run does.
        f"  failures=$((code == {_NOT_STARTED} ? failures + 1 : 0))",
        f"  if ((failures == {MOST_FAILURES})); then break; fi",
        f"  sleep {RETRY_SECONDS}",
        "done",
        'echo "btard ended with exit code $code"',
    ]
    if spec.bucket:
        lines.append("sync_files")
    lines.append("shutdown -h now")
    return "\n".join(lines) + "\n"


def _address(spec: Spec) -> list[str]:
    if spec.addresses is Addresses.INTERNAL:
        path = "local-ipv4"
    else:
        path = "public-ipv4"
    base = "http://169.254.169.254/latest"
    return [
        f'token=$(curl -sf -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 300" {base}/api/token)',
        f'address=$(curl -sf -H "X-aws-ec2-metadata-token: $token" {base}/meta-data/{path})',
    ]


def _secret(spec: Spec, role: MachineRole) -> list[str]:
    if spec.wandb_secret is None or role is not MachineRole.COORDINATOR:
        return []
    fetch = f"aws secretsmanager get-secret-value --secret-id {shlex.quote(spec.wandb_secret)}"
    return [
        "umask 077",
        f"""printf 'WANDB_API_KEY=%s\\n' "$({fetch} --query SecretString --output text)" > {_SECRETS}""",
        "umask 022",
    ]


def _login(image: str) -> list[str]:
    registry = image.split("/")[0]
    if ".dkr.ecr." not in registry:
        return []
    return [f"aws ecr get-login-password | docker login --username AWS --password-stdin {shlex.quote(registry)}"]


def _coordinator_files(spec: Spec, wanted: Wanted) -> list[str]:
    lines = []
    if spec.bucket:
        # A coordinator that takes the place of a lost one goes on with its files.
        source = stored_at(spec, wanted.generation, MachineRole.COORDINATOR.value)
        lines.append(f'aws s3 sync --only-show-errors {shlex.quote(source)} "$data"/run')
        # A bucket keeps no modes, and a key that others can read is refused.
        lines.append('if [ -e "$data"/run/identity.key ]; then chmod 600 "$data"/run/identity.key; fi')
    state = checkpoint_at(spec, wanted)
    if state is not None:
        lines.append(f'aws s3 sync --only-show-errors {shlex.quote(state)} "$data"/initial-state')
    config = shlex.quote(spec.config)
    return [*lines, f"""printf '%s' {config} > "$data"/coordinator.yaml"""]


def _sync(spec: Spec, target: str) -> list[str]:
    if not spec.bucket:
        return []
    command = f"""aws s3 sync --only-show-errors --exclude '*.lock' "$data"/run {shlex.quote(target)}"""
    return [f"sync_files() {{ {command}; }}", f"(while sleep {SYNC_SECONDS}; do sync_files; done) &"]


def _docker(spec: Spec, role: MachineRole, name: str, image: str, environment: list[str]) -> str:
    words = ["docker run --rm --network host", f"--user {USER}", '-v "$data":/data']
    if spec.instance_profile is not None:
        words += [
            "--log-driver awslogs",
            f"--log-opt awslogs-region={shlex.quote(spec.region)}",
            f"--log-opt awslogs-group={shlex.quote(log_group(spec.experiment))}",
            f"--log-opt awslogs-stream={shlex.quote(name)}-$(hostname)",
        ]
    if role is not MachineRole.COORDINATOR and spec.gpu:
        words.append("--gpus all")
    if role is MachineRole.COORDINATOR and spec.wandb_secret is not None:
        words.append(f"--env-file {_SECRETS}")
    words += [f"-e {shlex.quote(variable)}" for variable in environment]
    return " ".join([*words, shlex.quote(image)])


def _coordinator_words(spec: Spec, wanted: Wanted) -> str:
    words = [
        f"--experiment {shlex.quote(spec.experiment)} --directory /data/run --config /data/coordinator.yaml",
        f'--dht-port {PORT} --peers {wanted.workers} --announce "$address"',
    ]
    if checkpoint_at(spec, wanted) is not None:
        words.append("--initial-state /data/initial-state")
    if spec.wandb_secret is not None:
        words.append("--wandb online")
    return " ".join(words)


def _peer_words(spec: Spec, coordinator: str) -> str:
    return (
        f"--initial-peers {shlex.quote(coordinator)}:{PORT} --directory /data/run --port {PORT} --join-timeout 600 "
        f'--announce "/ip4/$address/tcp/{PORT}"'
    )
