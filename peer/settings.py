"""What is local to one peer: where it listens, what it computes on, where it writes, and how it behaves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from btard.byzantine.settings import BehaviourSettings
from btard.configuration import Option, Port, TauSettings
from btard.swarm.telemetry.settings import TelemetrySettings
from btard.vocabulary import Device

_NETWORK = "Network"
_MACHINE = "Machine"


class PeerSettings(TelemetrySettings, BehaviourSettings, TauSettings):
    """Settings of `btard-peer`. What the run is, the peer learns from the coordinator's manifest."""

    initial_peers: Annotated[
        list[str],
        Field(min_length=1),
        Option("where to join: host:port, [v6]:port, a DNS name with a port, or full multiaddresses", group=_NETWORK),
    ]
    directory: Annotated[
        Path, Option("where the key, the log of events and the configuration are written", group=_MACHINE)
    ] = Path("btard-peer")
    host: Annotated[str, Option("address to listen on", group=_NETWORK)] = "0.0.0.0"
    port: Annotated[Port, Option("port to listen on, 0 for a free one", unit="port", group=_NETWORK)] = 0
    announce: Annotated[
        list[str],
        Field(default_factory=list),
        Option("multiaddresses to tell others, instead of those that are found", group=_NETWORK),
    ]
    public: Annotated[bool, Option("use NAT port mapping, AutoNAT and relays", group=_NETWORK)] = False
    join_timeout: Annotated[
        float,
        Field(gt=0),
        Option("how long an initial peer and the manifest may take to answer", unit="seconds", group=_NETWORK),
    ] = 60.0
    device: Annotated[Device, Option("auto takes CUDA where there is one, else the CPU", group=_MACHINE)] = Device.AUTO
    threads: Annotated[
        int, Field(ge=0), Option("threads of computation, 0 for torch's own choice", unit="threads", group=_MACHINE)
    ] = 0
    data: Annotated[
        str | None,
        Option(
            "where this machine has the run's data: needed where the run trains on a corpus of its coordinator's own "
            "(see btard data)",
            group=_MACHINE,
        ),
    ] = None
    tokenizer: Annotated[
        str | None, Option("where this machine has the run's tokenizer, if the run loads one", group=_MACHINE)
    ] = None
    cache_dir: Annotated[Path | None, Option("where tokenised data are kept", group=_MACHINE)] = None
    max_data: Annotated[
        float, Field(gt=0), Option("the largest Hub data set that a run may have fetched", unit="GiB", group=_MACHINE)
    ] = 4.0
    max_batch: Annotated[
        int, Field(ge=1), Option("the largest batch that a run may ask for", unit="samples", group=_MACHINE)
    ] = 256
    max_dimension: Annotated[
        int, Field(ge=1), Option("the largest model that a run may ask for", unit="numbers", group=_MACHINE)
    ] = 2**30
