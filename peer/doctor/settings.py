"""What `btard doctor` is told: the same words as `btard-peer`, as far as they can be wrong before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from btard.configuration import Group, Option
from btard.configuration.shared.network import HopSettings, PeerAddress, PortSettings
from btard.configuration.shared.output import JsonSettings
from btard.peer.settings import MachineSettings


class DoctorSettings(PortSettings, HopSettings, MachineSettings, JsonSettings):
    """Settings of `btard doctor`, which tests what a peer needs on this machine and on the way into a swarm."""

    initial_peers: Annotated[
        list[PeerAddress],
        Field(default_factory=list),
        Option(
            "the swarm to reach, as btard-peer takes it; with none only this machine is tested", group=Group.NETWORK
        ),
    ]
    tolerance: Annotated[Path, Option("file that btard calibrate has written here", group=Group.MACHINE)] = Path(
        "tolerance.json"
    )
    json: Annotated[bool, Option("print one JSON object a check", group=Group.OUTPUT)] = False
