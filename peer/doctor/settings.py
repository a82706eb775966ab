"""What `btard doctor` is told: the same words as `btard-peer`, as far as they can be wrong before it starts."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

from pydantic import Field

from btard.configuration import Option, Port, Settings
from btard.vocabulary import Device

warnings.filterwarnings("ignore", 'Field name "json"', UserWarning)  # pydantic has a deprecated method of that name

_NETWORK = "Network"
_MACHINE = "Machine"
_OUTPUT = "Output"


class DoctorSettings(Settings):
    """Settings of `btard doctor`, which tests what a peer needs on this machine and on the way into a swarm."""

    initial_peers: Annotated[
        list[str],
        Field(default_factory=list),
        Option("the swarm to reach, as btard-peer takes it; with none only this machine is tested", group=_NETWORK),
    ]
    host: Annotated[str, Option("address to listen on", group=_NETWORK)] = "0.0.0.0"
    port: Annotated[Port, Option("port to listen on, 0 for a free one", unit="port", group=_NETWORK)] = 0
    announce: Annotated[
        list[str],
        Field(default_factory=list),
        Option("addresses or multiaddresses to tell others, instead of those that are found", group=_NETWORK),
    ]
    public: Annotated[bool, Option("use NAT port mapping, AutoNAT and relays", group=_NETWORK)] = False
    timeout: Annotated[
        float, Field(gt=0, le=600), Option("how long each hop may take", unit="seconds", group=_NETWORK)
    ] = 10.0
    directory: Annotated[Path, Option("where the peer will write", group=_MACHINE)] = Path("btard-peer")
    device: Annotated[Device, Option("where gradients are to be computed", group=_MACHINE)] = Device.AUTO
    data: Annotated[
        str | None,
        Option(
            "where this machine has the run's data: needed where the run trains on a corpus of its coordinator's own",
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
    tolerance: Annotated[Path, Option("file that btard calibrate has written here", group=_MACHINE)] = Path(
        "tolerance.json"
    )
    json: Annotated[bool, Option("print one JSON object a check", group=_OUTPUT)] = False  # type: ignore
