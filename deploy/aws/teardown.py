"""`down`: terminates and deletes what carries the experiment's tag, and looks again until nothing is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rich.console import Console

from btard.deploy.aws.cloud import Cloud
from btard.deploy.aws.errors import CloudError
from btard.deploy.aws.fleet import ENDED, Machine, State, now, total_cost
from btard.deploy.aws.machines import Machines
from btard.deploy.aws.settings import WatchSettings
from btard.errors import UserError

_LOOKS = 2
"""Looks in a row that must find nothing: a machine that was being started shows up a moment later."""

_OPEN_REQUESTS = ["open", "active"]


def down(settings: WatchSettings, console: Console) -> None:
    """End an experiment; raises UserError if something stays."""
    tear_down(Cloud(settings), settings, console)


def tear_down(cloud: Cloud, settings: WatchSettings, console: Console) -> None:
    """Terminate the machines, cancel the spot requests, and delete the network that was made.

    Raises:
        UserError: something is left when patience ends; the sentence names it.
    """
    machines = Machines(cloud, settings.poll, settings.patience)
    deadline = time.monotonic() + settings.patience
    quiet, ended = 0, set()
    trouble, cost = "", 0.0
    while quiet < _LOOKS:
        try:
            found = machines.list()
            left, cost = _living(found), total_cost(found, now())
            ended |= {machine.id for machine in left}
            machines.terminate([machine.id for machine in left if machine.state not in ENDED])
            left_things = [f"{machine.name} ({machine.id})" for machine in left]
            left_things += _cancel_requests(cloud)
            if not left:
                left_things += _delete_network(cloud)
        except CloudError as error:
            if not error.passing and error.code != "DependencyViolation":
                raise
            left_things, trouble = ["something"], str(error)
        quiet = 0 if left_things else quiet + 1
        if quiet < _LOOKS:
            if time.monotonic() > deadline:
                names = ", ".join(left_things) or trouble
                raise UserError(
                    f"after {settings.patience:g} s {names} is still there: run down again. {trouble}".strip()
                )
            time.sleep(settings.poll)
    words = f"{len(ended)} machines terminated, which with those before them cost {cost:.2f} USD; " if ended else ""
    with suppress(BrokenPipeError):
        console.print(
            f"{words}nothing of {cloud.experiment} is left in {cloud.region}", highlight=False, soft_wrap=True
        )


def _living(machines: list[Machine]) -> list[Machine]:
    return [machine for machine in machines if machine.state is not State.TERMINATED]


def _cancel_requests(cloud: Cloud) -> list[str]:
    requests = cloud.pages(
        "describe_spot_instance_requests",
        "SpotInstanceRequests",
        "list the spot requests",
        Filters=[*cloud.mine, {"Name": "state", "Values": _OPEN_REQUESTS}],
    )
    ids = [str(request["SpotInstanceRequestId"]) for request in requests]
    if ids:
        with cloud.doing("cancel the spot requests"):
            cloud.ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=ids)
    return ids


def _delete_network(cloud: Cloud) -> list[str]:
    """Delete what was made, inside out; return what was found, which the next look must not find again."""
    ec2 = cloud.ec2
    found: list[str] = []

    def each(operation: str, key: str, identity: str, delete: Callable[[dict[str, Any]], object]) -> None:
        for thing in cloud.pages(operation, key, f"list the experiment's {key}", Filters=cloud.mine):
            found.append(str(thing[identity]))
            with cloud.doing(f"delete {thing[identity]}"):
                delete(thing)

    def drop_gateway(gateway: dict[str, Any]) -> None:
        for attachment in gateway.get("Attachments", []):
            ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=attachment["VpcId"])
        ec2.delete_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"])

    with cloud.doing("list the key pairs"):
        keys = ec2.describe_key_pairs(Filters=cloud.mine)["KeyPairs"]
    for key in keys:
        found.append(str(key["KeyName"]))
        with cloud.doing(f"delete the key pair {key['KeyName']}"):
            ec2.delete_key_pair(KeyName=key["KeyName"])
    each(
        "describe_security_groups",
        "SecurityGroups",
        "GroupId",
        lambda group: ec2.delete_security_group(GroupId=group["GroupId"]),
    )
    each("describe_subnets", "Subnets", "SubnetId", lambda subnet: ec2.delete_subnet(SubnetId=subnet["SubnetId"]))
    each("describe_internet_gateways", "InternetGateways", "InternetGatewayId", drop_gateway)
    each("describe_vpcs", "Vpcs", "VpcId", lambda vpc: ec2.delete_vpc(VpcId=vpc["VpcId"]))
    return found
