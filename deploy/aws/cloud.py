"""The connection to AWS: clients that try again when they are throttled, and errors as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from btard.deploy.aws.fleet import Tag
from btard.deploy.aws.settings import AccountSettings
from btard.errors import UserError

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ModuleNotFoundError as error:
    raise UserError("btard deploy aws needs boto3: pip install 'btard[aws]'") from error

from btard.deploy.aws.errors import explained


class Cloud:
    """AWS, as one experiment sees it.

    Args:
        settings: which experiment, where.

    Attributes:
        experiment: its name.
        region: where it runs.
    """

    def __init__(self, settings: AccountSettings) -> None:
        self.experiment = settings.experiment
        self.region = settings.region
        self._config = Config(
            retries={"mode": "standard", "total_max_attempts": settings.api_attempts},
            connect_timeout=20,
            read_timeout=60,
            user_agent_extra="btard",
        )

    @cached_property
    def ec2(self) -> Any:
        """EC2's client."""
        return self.client("ec2")

    def client(self, service: str) -> Any:
        """Return a client of any service."""
        with self.doing(f"connect to AWS's {service}"):
            return boto3.client(service, region_name=self.region, config=self._config)

    @contextmanager
    def doing(self, words: str) -> Iterator[None]:
        """Raise what AWS complains about within as a CloudError; the words say what is done, as "list machines"."""
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise explained(error, words) from error

    def pages(self, operation: str, key: str, doing: str, **words: Any) -> list[dict[str, Any]]:
        """Return all that a listing of EC2 gives."""
        with self.doing(doing):
            return [item for page in self.ec2.get_paginator(operation).paginate(**words) for item in page[key]]

    @property
    def mine(self) -> list[dict[str, Any]]:
        """The filter for what belongs to the experiment."""
        return [{"Name": f"tag:{Tag.EXPERIMENT.value}", "Values": [self.experiment]}]

    def tagged(self, kind: str, role: str, **more: str) -> dict[str, Any]:
        """Return the tags of something new, as the calls that make it want them."""
        tags = {
            Tag.EXPERIMENT.value: self.experiment,
            Tag.ROLE.value: role,
            Tag.NAME.value: f"{self.experiment}-{role}",
        }
        tags |= more
        return {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
