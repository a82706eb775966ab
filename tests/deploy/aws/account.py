"""The account that tests run in, seen by boto3 directly."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3

from btard.deploy.aws.cloud import Cloud
from btard.deploy.aws.fleet import Machine
from btard.deploy.aws.machines import Machines
from btard.deploy.aws.settings import AccountSettings
from tests.deploy.aws.server import Proxy
from tests.deploy.standins import ROOT

NAME = "trial"
FAST = ["--interval", "0.2", "--poll", "0.05", "--patience", "30"]
UP = ["--ami", "ami-12c6146b", "--workers", "4", *FAST, "--yes"]
BUCKET = ["--bucket", "results", "--instance-profile", "peers"]
TAGS = [{"Name": "tag:btard:experiment", "Values": [NAME]}]


class Account:
    """An AWS account that only exists here."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.environment = {
            "AWS_ENDPOINT_URL": proxy.url,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """A client of our own; to make one takes half a second."""
        if service not in self._clients:
            self._clients[service] = boto3.client(service, region_name="us-east-1")
        return self._clients[service]

    def make_bucket(self) -> None:
        """Make what BUCKET names."""
        self.client("s3").create_bucket(Bucket="results")
        self.client("iam").create_instance_profile(InstanceProfileName="peers")

    def launch(self, command: str, *words: str) -> subprocess.Popen[str]:
        """Start `btard deploy aws COMMAND` as a process."""
        return subprocess.Popen(
            [sys.executable, "-m", "btard.cli.main", "deploy", "aws", command, "--experiment", NAME, *words],
            env={**os.environ, **self.environment, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str, *words: str) -> tuple[int, str]:
        """Run a command to its end; return the exit code and what it said."""
        process = self.launch(command, *words)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said

    @cached_property
    def _machines(self) -> Machines:
        return Machines(Cloud(AccountSettings(experiment=NAME)))

    def machines(self) -> list[Machine]:
        """All machines of the experiment, dead ones too."""
        return self._machines.list()

    def alive(self) -> dict[str, Machine]:
        """The living machines by name; there must be one of each."""
        found = [machine for machine in self.machines() if machine.alive]
        names = {machine.name: machine for machine in found}
        assert len(names) == len(found), sorted(machine.name for machine in found)
        return names

    def user_data(self, machine: Machine) -> str:
        """What a machine was told to do at its boot."""
        answer = self.client("ec2").describe_instance_attribute(InstanceId=machine.id, Attribute="userData")
        return base64.b64decode(answer["UserData"]["Value"]).decode()

    def left(self) -> list[str]:
        """Everything of the experiment that costs money or stands around."""
        ec2 = self.client("ec2")
        found = [machine.id for machine in self.machines() if machine.alive]
        for operation, key, identity in (
            ("describe_vpcs", "Vpcs", "VpcId"),
            ("describe_subnets", "Subnets", "SubnetId"),
            ("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
            ("describe_security_groups", "SecurityGroups", "GroupId"),
            ("describe_key_pairs", "KeyPairs", "KeyName"),
            ("describe_volumes", "Volumes", "VolumeId"),
        ):
            found += [thing[identity] for thing in getattr(ec2, operation)(Filters=TAGS)[key]]
        requests = ec2.describe_spot_instance_requests(Filters=TAGS)["SpotInstanceRequests"]
        return found + [r["SpotInstanceRequestId"] for r in requests if r["State"] in ("open", "active")]


def said_to(file: Path) -> str:
    """What a stand-in was called with."""
    return file.read_text() if file.exists() else ""
