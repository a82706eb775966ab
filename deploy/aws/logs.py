"""`logs`: what the containers print, which docker sends to one group of CloudWatch."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console

from btard.deploy.aws.cloud import Cloud
from btard.deploy.aws.fleet import now
from btard.deploy.aws.settings import LogsSettings
from btard.deploy.aws.userdata import log_group
from btard.errors import UserError

KEPT_DAYS = 14


def make_group(cloud: Cloud) -> None:
    """Make the experiment's log group, which outlives the run by some days; it may be there already."""
    client, name = cloud.client("logs"), log_group(cloud.experiment)
    with cloud.doing(f"make the log group {name}"):
        try:
            client.create_log_group(logGroupName=name, tags={"btard:experiment": cloud.experiment})
        except client.exceptions.ResourceAlreadyExistsException:
            return
        client.put_retention_policy(logGroupName=name, retentionInDays=KEPT_DAYS)


def logs(settings: LogsSettings, console: Console) -> None:
    """Print what the machines have said, oldest first, and with --follow what they say.

    Raises:
        UserError: there are no logs.
    """
    cloud = Cloud(settings)
    client, name = cloud.client("logs"), log_group(settings.experiment)
    words: dict[str, Any] = {"logGroupName": name}
    if settings.machine is not None:
        words["logStreamNamePrefix"] = f"{settings.machine}-"
    since = int((now().timestamp() - settings.since * 60) * 1000)
    shown: set[str] = set()
    while True:
        with cloud.doing(f"read the logs in {name}"):
            try:
                pages = list(client.get_paginator("filter_log_events").paginate(startTime=since, **words))
            except client.exceptions.ResourceNotFoundException:
                raise UserError(
                    f"there are no logs of {settings.experiment} in {settings.region}: machines send them only with an "
                    "--instance-profile"
                ) from None
        events = [
            event
            for page in pages
            for event in page["events"]
            if event["eventId"] not in shown and event["logStreamName"].startswith(words.get("logStreamNamePrefix", ""))
        ]
        for event in sorted(events, key=lambda event: event["timestamp"]):
            shown.add(event["eventId"])
            console.print(
                f"{event['logStreamName']}: {event['message'].rstrip()}", highlight=False, soft_wrap=True, markup=False
            )
        if not settings.follow:
            return
        time.sleep(settings.interval)
