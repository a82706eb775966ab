"""What the commands of `btard deploy aws` are told.

Credentials, the profile and an endpoint of one's own are botocore's: its environment variables and files count.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from btard.byzantine.settings import BehaviourSettings
from btard.configuration import Group, Option, Settings
from btard.configuration.shared.output import JsonSettings
from btard.configuration.shared.protocol import Deadline
from btard.deploy.names import NAME_FORM, ExperimentName
from btard.vocabulary import NO_ATTACK

DEFAULT_AMI = "ssm:/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
"""AWS's own image with docker, the NVIDIA runtime and the AWS command line."""

LACKS_ATTACK = "attackers need an --attack-type, such as SIGN_FLIPPING"

Consent = Annotated[bool, Option("do not ask whether the estimated costs are all right", group=Group.LIMITS)]


class Addresses(StrEnum):
    """Which addresses peers tell each other."""

    INTERNAL = "internal"
    PUBLIC = "public"


class AccountSettings(Settings):
    """Which experiment, where."""

    experiment: Annotated[
        ExperimentName,
        Option("the experiment's name: everything that is made carries it as a tag", form=NAME_FORM),
    ]
    region: Annotated[str, Option("AWS region", group=Group.ACCOUNT, env=("AWS_REGION", "AWS_DEFAULT_REGION"))] = (
        "us-east-1"
    )
    api_attempts: Annotated[
        int,
        Field(ge=1, le=50),
        Option(
            "how often a call is made until AWS no longer answers with throttling", unit="calls", group=Group.ACCOUNT
        ),
    ] = 8


class WatchSettings(AccountSettings):
    """How patiently a command that changes something looks at AWS."""

    interval: Annotated[Deadline, Option("time between two looks at the fleet", unit="seconds", group=Group.LIMITS)] = (
        30.0
    )
    poll: Annotated[
        Deadline,
        Option(
            "time between two looks while waiting for a machine to start or end", unit="seconds", group=Group.LIMITS
        ),
    ] = 5.0
    patience: Annotated[
        Deadline, Option("how long machines may take to start or to end", unit="seconds", group=Group.LIMITS)
    ] = 600.0


class FleetSettings(WatchSettings):
    """The machines of a run and what runs on them."""

    workers: Annotated[
        int, Field(ge=1, le=256), Option("how many peers, attackers included", unit="peers", group=Group.FLEET)
    ] = 16
    attackers: Annotated[int, Field(ge=0), Option("how many of them attack", unit="peers", group=Group.FLEET)] = 0
    worker_type: Annotated[str, Option("instance type of the peers", group=Group.MACHINES)] = "g4dn.2xlarge"
    coordinator_type: Annotated[str, Option("instance type of the coordinator", group=Group.MACHINES)] = "r5.large"
    spot: Annotated[bool, Option("peers are spot instances", group=Group.MACHINES)] = True
    max_price: Annotated[
        float | None,
        Field(gt=0),
        Option(
            "most that a spot instance may cost an hour; none for the price on demand", unit="USD", group=Group.MACHINES
        ),
    ] = None
    ami: Annotated[str, Option("machine image, or ssm: and the parameter that names it", group=Group.MACHINES)] = (
        DEFAULT_AMI
    )
    disk: Annotated[
        int, Field(ge=8, le=16384), Option("size of each machine's disk", unit="GiB", group=Group.MACHINES)
    ] = 100
    root_device: Annotated[str, Option("device name of the image's root disk", group=Group.MACHINES)] = "/dev/sda1"
    gpu: Annotated[bool, Option("give the peers' containers the machine's GPUs", group=Group.MACHINES)] = True
    instance_profile: Annotated[
        str | None,
        Option("name of the IAM instance profile; logs, bucket and the wandb key need one", group=Group.MACHINES),
    ] = None

    subnet: Annotated[
        str | None, Option("id of the subnet; with none a network is made, and deleted at the end", group=Group.NETWORK)
    ] = None
    security_group: Annotated[
        str | None,
        Option("id of the security group; with none one is made, and deleted at the end", group=Group.NETWORK),
    ] = None
    key_name: Annotated[
        str | None,
        Option("name of the key pair for ssh; with none one is made if --ssh-from is given", group=Group.NETWORK),
    ] = None
    ssh_from: Annotated[
        str | None, Option("addresses that may use ssh, as 203.0.113.7/32; with none nobody", group=Group.NETWORK)
    ] = None
    addresses: Annotated[Addresses, Option("addresses that peers tell each other", group=Group.NETWORK)] = (
        Addresses.INTERNAL
    )

    coordinator_image: Annotated[str, Option("container image of the coordinator", group=Group.PROGRAMS)] = (
        "btard-coordinator"
    )
    peer_image: Annotated[str, Option("container image of the peers", group=Group.PROGRAMS)] = "btard-peer"
    coordinator_config: Annotated[
        Path | None,
        Option(
            "YAML file of the coordinator's settings: task, tau, steps, checkpoints and so on", group=Group.PROGRAMS
        ),
    ] = None
    wandb_secret: Annotated[
        str | None,
        Option(
            "name of the secret in AWS Secrets Manager that is the wandb key; machines fetch it", group=Group.PROGRAMS
        ),
    ] = None
    bucket: Annotated[
        str | None,
        Option("S3 bucket that the run's files go to, from which a lost coordinator goes on", group=Group.PROGRAMS),
    ] = None
    initial_state: Annotated[
        str | None, Option("s3:// folder of the checkpoint that the run begins with", group=Group.PROGRAMS)
    ] = None

    time_limit: Annotated[
        float, Field(gt=0, le=24 * 30), Option("after which everything is terminated", unit="hours", group=Group.LIMITS)
    ] = 4.0
    yes: Consent = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.attackers >= self.workers:
            raise ValueError(
                f"{self.attackers} attackers of {self.workers} peers leave nobody honest: lower --attackers or raise "
                "--workers"
            )
        for name in ("coordinator_image", "peer_image"):
            image = getattr(self, name)
            if self.ami == DEFAULT_AMI and "/" not in image:
                raise ValueError(
                    f"--{name.replace('_', '-')} is {image}, but machines need a registry to fetch it from, as "
                    f"REGISTRY/{image}, or an --ami that has it"
                )
        for name in ("wandb_secret", "bucket"):
            if getattr(self, name) is not None and self.instance_profile is None:
                raise ValueError(f"--{name.replace('_', '-')} needs an --instance-profile that may use it")
        if self.initial_state is not None and (self.bucket is None or not self.initial_state.startswith("s3://")):
            raise ValueError("--initial-state must be an s3:// folder, and needs a --bucket")
        return self


class UpSettings(FleetSettings, BehaviourSettings):
    """Settings of `btard deploy aws up`. The behaviour is the attackers'."""

    @model_validator(mode="after")
    def _attackers_attack(self) -> Self:
        if self.attackers and self.attack_type == NO_ATTACK:
            raise ValueError(LACKS_ATTACK)
        return self


class FleetStatusSettings(AccountSettings, JsonSettings):
    """Settings of `btard deploy aws status`."""


class LogsSettings(AccountSettings):
    """Settings of `btard deploy aws logs`."""

    machine: Annotated[str | None, Option("only of this one, as coordinator, worker-3 or attacker-15")] = None
    since: Annotated[float, Field(gt=0), Option("how far back", unit="minutes")] = 60.0
    follow: Annotated[bool, Option("go on with what comes, until Ctrl-C")] = False
    interval: Annotated[Deadline, Option("time between two looks with --follow", unit="seconds")] = 5.0


class AttackSettings(WatchSettings, BehaviourSettings):
    """Settings of `btard deploy aws attack`."""

    attackers: Annotated[
        int, Field(ge=0), Option("how many of the peers attack from now on", unit="peers", group=Group.FLEET)
    ]
    checkpoint: Annotated[
        int | None,
        Field(ge=0),
        Option(
            "start the run anew from the bucket's checkpoint of this step; none to turn peers of the run",
            unit="steps",
            group=Group.FLEET,
        ),
    ] = None


class DownSettings(WatchSettings):
    """Settings of `btard deploy aws down`."""
