"""Where the machines live: a subnet and a security group, given or made, and a key for ssh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from btard.deploy.aws.cloud import Cloud
from btard.deploy.aws.settings import Addresses, FleetSettings
from btard.deploy.aws.userdata import PORT
from btard.errors import UserError

_NETWORK, _SUBNET = "10.77.0.0/16", "10.77.0.0/20"
_ROLE = "network"
_SSH = 22


class MachineNetwork:
    """Finds or makes what the machines need; what was made by an earlier start is found by its tag."""

    def __init__(self, cloud: Cloud, settings: FleetSettings) -> None:
        self._cloud = cloud
        self._settings = settings

    def subnet(self) -> str:
        """Return the id of the subnet: the given one, or one of our own with a way to the internet."""
        if self._settings.subnet is not None:
            return self._settings.subnet
        ec2 = self._cloud.ec2
        vpc = self._found("describe_vpcs", "Vpcs", "VpcId")
        with self._cloud.doing("make a network"):
            if vpc is None:
                answer = ec2.create_vpc(CidrBlock=_NETWORK, TagSpecifications=[self._cloud.tagged("vpc", _ROLE)])
                vpc = answer["Vpc"]["VpcId"]
                ec2.get_waiter("vpc_available").wait(VpcIds=[vpc], WaiterConfig={"Delay": 1})
        gateway = self._gateway(vpc)
        subnet = self._found("describe_subnets", "Subnets", "SubnetId")
        with self._cloud.doing("make a subnet"):
            if subnet is None:
                answer = ec2.create_subnet(
                    VpcId=vpc, CidrBlock=_SUBNET, TagSpecifications=[self._cloud.tagged("subnet", _ROLE)]
                )
                subnet = answer["Subnet"]["SubnetId"]
            main = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}]
            table = ec2.describe_route_tables(Filters=main)["RouteTables"][0]
            if not any(route.get("GatewayId") == gateway for route in table["Routes"]):
                ec2.create_route(
                    RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway
                )
        return str(subnet)

    def _gateway(self, vpc: str) -> str:
        ec2 = self._cloud.ec2
        pages = self._cloud.pages(
            "describe_internet_gateways", "InternetGateways", "look for a gateway", Filters=self._cloud.mine
        )
        with self._cloud.doing("make a gateway to the internet"):
            if pages:
                gateway, attached = pages[0]["InternetGatewayId"], bool(pages[0].get("Attachments"))
            else:
                tags = [self._cloud.tagged("internet-gateway", _ROLE)]
                answer = ec2.create_internet_gateway(TagSpecifications=tags)
                gateway, attached = answer["InternetGateway"]["InternetGatewayId"], False
            if not attached:
                ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        return str(gateway)

    def security_group(self, subnet: str) -> str:
        """Return the id of the security group: the given one, or one that opens the peers' port, and ssh if asked."""
        if self._settings.security_group is not None:
            return self._settings.security_group
        ec2 = self._cloud.ec2
        group = self._found("describe_security_groups", "SecurityGroups", "GroupId")
        if group is None:
            with self._cloud.doing("make a security group"):
                vpc = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"]
                group = ec2.create_security_group(
                    GroupName=f"btard-{self._cloud.experiment}",
                    Description=f"Peers of the experiment {self._cloud.experiment}",
                    VpcId=vpc,
                    TagSpecifications=[self._cloud.tagged("security-group", _ROLE)],
                )["GroupId"]
        with self._cloud.doing("open the peers' port"):
            for rule in self._rules(str(group)):
                try:
                    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
                except ec2.exceptions.ClientError as error:
                    if error.response["Error"]["Code"] != "InvalidPermission.Duplicate":
                        raise
        return str(group)

    def _rules(self, group: str) -> list[dict[str, Any]]:
        peers: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT}
        if self._settings.addresses is Addresses.PUBLIC:
            rules = [peers | {"IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "peers"}]}]
        else:
            rules = [peers | {"UserIdGroupPairs": [{"GroupId": group, "Description": "peers"}]}]
        if self._settings.ssh_from is not None:
            ranges = [{"CidrIp": self._settings.ssh_from, "Description": "ssh"}]
            rules.append({"IpProtocol": "tcp", "FromPort": _SSH, "ToPort": _SSH, "IpRanges": ranges})
        return rules

    def key(self, directory: Path) -> str | None:
        """Return the name of the key pair: the given one, or a new one if ssh is asked for, None if not.

        Raises:
            UserError: the new key's file cannot be written.
        """
        if self._settings.key_name is not None or self._settings.ssh_from is None:
            return self._settings.key_name
        name = f"btard-{self._cloud.experiment}"
        with self._cloud.doing("look for a key pair"):
            if self._cloud.ec2.describe_key_pairs(Filters=self._cloud.mine)["KeyPairs"]:
                return name
        file = directory / f"{name}.pem"
        try:
            file.touch(mode=0o600, exist_ok=False)
        except OSError as error:
            raise UserError(
                f"the key for ssh cannot be written to {file}: {error.strerror}; give a --key-name"
            ) from None
        with self._cloud.doing("make a key pair"):
            tags = [self._cloud.tagged("key-pair", _ROLE)]
            file.write_text(self._cloud.ec2.create_key_pair(KeyName=name, TagSpecifications=tags)["KeyMaterial"])
        return name

    def _found(self, operation: str, key: str, identity: str) -> str | None:
        found = self._cloud.pages(operation, key, f"look for the experiment's {key}", Filters=self._cloud.mine)
        return str(found[0][identity]) if found else None
