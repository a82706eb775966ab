"""Instances: listed by their tags, started with their tags, ended."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from btard.deploy.aws.cloud import Cloud
from btard.deploy.aws.fleet import ENDED, Machine, MachineRole, Spec, State, Tag, Wanted, now
from btard.deploy.aws.reconcile import COORDINATOR_SLOT, StartMachine
from btard.deploy.aws.settings import Addresses
from btard.deploy.aws.userdata import render
from btard.errors import UserError

_ENDED_AT = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")


class Machines:
    """The experiment's instances.

    Args:
        cloud: the account.
        poll: seconds between two looks while waiting.
        patience: seconds to wait at most.
    """

    def __init__(self, cloud: Cloud, poll_seconds: float = 5.0, patience_seconds: float = 600.0) -> None:
        self._cloud = cloud
        self._poll = poll_seconds
        self._patience = patience_seconds

    def list(self) -> list[Machine]:
        """Return all that AWS shows, ended ones too."""
        pages = self._cloud.pages("describe_instances", "Reservations", "list the machines", Filters=self._cloud.mine)
        return [_machine(instance) for reservation in pages for instance in reservation["Instances"]]

    def start(self, start: StartMachine, spec: Spec, wanted: Wanted, coordinator: Machine | None) -> str:
        """Start a machine and return its id; raises CloudError."""
        address = None
        if coordinator is not None:
            public = spec.addresses is Addresses.PUBLIC
            address = coordinator.public_ip if public else coordinator.private_ip
        script = render(spec, wanted, start.role, start.slot, now=now(), coordinator=address)
        with self._cloud.doing(f"start {start.name}"):
            answer = self._cloud.ec2.run_instances(**_order(self._cloud, start, spec, wanted, script))
        instance: str = answer["Instances"][0]["InstanceId"]
        return instance

    def terminate(self, ids: Sequence[str]) -> None:
        """End machines; those that AWS no longer knows have ended."""
        for instance in ids:
            with self._cloud.doing(f"terminate {instance}"):
                try:
                    self._cloud.ec2.terminate_instances(InstanceIds=[instance])
                except self._cloud.ec2.exceptions.ClientError as error:
                    if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
                        raise

    def wait_running(self, instance: str) -> Machine:
        """Return a machine once it runs and has an address.

        Raises:
            UserError: it ended, or took too long.
        """
        deadline = time.monotonic() + self._patience
        while True:
            machine = next((machine for machine in self.list() if machine.id == instance), None)
            if machine is not None and machine.state is State.RUNNING and machine.private_ip:
                return machine
            if machine is not None and machine.state in ENDED:
                raise UserError(
                    f"{machine.name} ({instance}) ended while it started: {machine.why or 'no reason known'}"
                )
            if time.monotonic() > deadline:
                raise UserError(f"{instance} does not run after {self._patience:g} s; raise --patience")
            time.sleep(self._poll)

    def spec(self, machines: Sequence[Machine]) -> Spec:
        """Return the spec that a coordinator's user data carries.

        Raises:
            UserError: there is no coordinator any more.
        """
        for machine in reversed([m for m in machines if m.role is MachineRole.COORDINATOR]):
            with self._cloud.doing("read what the coordinator was started with"):
                answer = self._cloud.ec2.describe_instance_attribute(InstanceId=machine.id, Attribute="userData")
            text = base64.b64decode(answer.get("UserData", {}).get("Value", "")).decode(errors="replace")
            if (spec := Spec.unpacked(text)) is not None:
                return spec
        raise UserError(
            f"the experiment {self._cloud.experiment} has no coordinator in {self._cloud.region}; start it by up"
        )

    def want(self, coordinator: Machine, wanted: Wanted) -> None:
        """Write down what is wanted, where every launcher reads it."""
        tag = {"Key": Tag.WANTED.value, "Value": wanted.model_dump_json()}
        with self._cloud.doing("tag the coordinator with what is wanted"):
            self._cloud.ec2.create_tags(Resources=[coordinator.id], Tags=[tag])


def wanted_of(machines: Sequence[Machine]) -> Wanted | None:
    """Return what is wanted, as the latest coordinator's tag says; None before there is one."""
    chain = sorted((m for m in machines if m.role is MachineRole.COORDINATOR and m.wanted), key=_age)
    return chain[-1].wanted if chain else None


def running_coordinator(machines: Sequence[Machine], wanted: Wanted) -> Machine | None:
    """Return the coordinator that peers can reach."""
    for machine in sorted(machines, key=_age):
        right = machine.role is MachineRole.COORDINATOR and machine.generation == wanted.generation
        if right and machine.state is State.RUNNING and machine.private_ip:
            return machine
    return None


def _age(machine: Machine) -> tuple[int, datetime, str]:
    return (machine.generation, machine.launched, machine.id)


def _order(cloud: Cloud, start: StartMachine, spec: Spec, wanted: Wanted, script: str) -> dict[str, Any]:
    """Return the words of a call of RunInstances."""
    more = {
        Tag.SLOT.value: str(start.slot),
        Tag.GENERATION.value: str(start.generation),
        Tag.BEHAVIOUR.value: start.behaviour,
        Tag.PRICE.value: str(spec.price_of(start.role)),
        Tag.EARLIER.value: str(start.earlier),
        Tag.NAME.value: f"{spec.experiment}-{start.name}",
    }
    first = start.slot == COORDINATOR_SLOT
    if first:
        more[Tag.WANTED.value] = wanted.model_dump_json()
    kinds = ["instance", "volume"]
    words: dict[str, Any] = {
        "ImageId": spec.ami,
        "InstanceType": spec.coordinator_type if first else spec.worker_type,
        "MinCount": 1,
        "MaxCount": 1,
        "UserData": script,
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "SubnetId": spec.subnet,
                "Groups": [spec.security_group],
                # Machines without a public address could not fetch their images, unless the subnet has a NAT gateway.
                "AssociatePublicIpAddress": True,
                "DeleteOnTermination": True,
            }
        ],
        "BlockDeviceMappings": [
            {
                "DeviceName": spec.root_device,
                "Ebs": {"VolumeSize": spec.disk, "VolumeType": "gp3", "DeleteOnTermination": True},
            }
        ],
    }
    if spec.key_name is not None:
        words["KeyName"] = spec.key_name
    if spec.instance_profile is not None:
        words["IamInstanceProfile"] = {"Name": spec.instance_profile}
    if spec.spot and not first:
        options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        if spec.max_price is not None:
            options["MaxPrice"] = str(spec.max_price)
        words["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
        kinds.append("spot-instances-request")
    words["TagSpecifications"] = [cloud.tagged(kind, start.role.value, **more) for kind in kinds]
    return words


def _machine(instance: dict[str, Any]) -> Machine:
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    state = State(instance["State"]["Name"])
    ended = None
    if state in ENDED and (found := _ENDED_AT.search(instance.get("StateTransitionReason", ""))):
        ended = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return Machine(
        id=instance["InstanceId"],
        role=MachineRole(tags.get(Tag.ROLE.value, MachineRole.WORKER.value)),
        slot=int(tags.get(Tag.SLOT.value, COORDINATOR_SLOT)),
        generation=int(tags.get(Tag.GENERATION.value, 0)),
        behaviour=tags.get(Tag.BEHAVIOUR.value, ""),
        state=state,
        why=instance.get("StateReason", {}).get("Code") or "" if state in ENDED else "",
        launched=instance["LaunchTime"],
        ended=ended,
        price=float(tags.get(Tag.PRICE.value, 0)),
        earlier=float(tags.get(Tag.EARLIER.value, 0)),
        kind=instance.get("InstanceType", ""),
        private_ip=instance.get("PrivateIpAddress"),
        public_ip=instance.get("PublicIpAddress"),
        spot_request=instance.get("SpotInstanceRequestId"),
        wanted=_wanted(tags.get(Tag.WANTED.value)),
    )


def _wanted(text: str | None) -> Wanted | None:
    try:
        return None if text is None else Wanted.model_validate_json(text)
    except ValidationError:
        return None
