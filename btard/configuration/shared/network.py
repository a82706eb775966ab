"""Where a program listens, and how long it waits for others."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from btard.configuration.groups import Group
from btard.configuration.options import Option, Port
from btard.configuration.settings import Settings

_HOST_PORT = re.compile(r"^(?:\[[0-9A-Fa-f:.]+\]|[^\s/:\[\]]+):(?P<port>[0-9]{1,5})$")
_FULL = re.compile(r"^(?:/[^/\s]+)+/p2p/[1-9A-HJ-NP-Za-km-z]{40,64}$")


def _peer_address(text: str) -> str:
    match = _HOST_PORT.match(text)
    if not _FULL.match(text) and not (match and 0 < int(match["port"]) < 65536):
        raise ValueError("must be an address: write host:port, [v6]:port or /ip4/.../tcp/.../p2p/12D3Koo...")
    try:
        if match and not text.startswith("["):
            text.rpartition(":")[0].encode("idna")
    except UnicodeError:
        raise ValueError("must name a machine: no part of a name is empty or longer than 63 letters") from None
    return text


PeerAddress = Annotated[str, AfterValidator(_peer_address)]
"""Where a peer is, as people write it; only its form is looked at."""


InitialPeers = Annotated[
    list[PeerAddress],
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
    public: Annotated[bool, Option("use NAT port mapping, hole punching and AutoNAT", group=Group.NETWORK)] = False

    @field_validator("host")
    @classmethod
    def _is_an_ip_address(cls, text: str) -> str:
        try:
            return str(ipaddress.ip_address("127.0.0.1" if text == "localhost" else text.strip("[]")))
        except ValueError:
            raise ValueError("must be an IP address of this machine, or 0.0.0.0 for all of them") from None


class PortSettings(HostSettings):
    """How a program that is found by others, whatever its port, is reached."""

    port: Annotated[Port, Option("port to listen on, 0 for a free one", unit="port", group=Group.NETWORK)] = 0


class HopSettings(Settings):
    """How patiently a swarm is visited."""

    timeout: Annotated[
        float, Field(gt=0, le=600), Option("how long each hop may take", unit="seconds", group=Group.NETWORK)
    ] = 10.0
