"""Where a program listens, and how long it waits for others."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from btard.configuration.groups import Group
from btard.configuration.options import Option, Port
from btard.configuration.settings import Settings

InitialPeers = Annotated[
    list[str],
    Option(
        "where to find the swarm: host:port, [v6]:port, a DNS name with a port, or full multiaddresses",
        group=Group.NETWORK,
    ),
]


class HostSettings(Settings):
    """How a program that others call is reached."""

    host: Annotated[str, Option("address to listen on", group=Group.NETWORK)] = "0.0.0.0"
    announce: Annotated[
        list[str],
        Field(default_factory=list),
        Option("addresses or multiaddresses to tell others, instead of those that are found", group=Group.NETWORK),
    ]
    public: Annotated[bool, Option("use NAT port mapping, AutoNAT and relays", group=Group.NETWORK)] = False


class PortSettings(HostSettings):
    """How a program that is found by others, whatever its port, is reached."""

    port: Annotated[Port, Option("port to listen on, 0 for a free one", unit="port", group=Group.NETWORK)] = 0


class HopSettings(Settings):
    """How patiently a swarm is visited."""

    timeout: Annotated[
        float, Field(gt=0, le=600), Option("how long each hop may take", unit="seconds", group=Group.NETWORK)
    ] = 10.0
