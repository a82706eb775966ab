"""What is local to one peer: where it listens, what it computes on, where it writes, and how it behaves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from btard.byzantine.settings import BehaviourSettings, StageLies
from btard.configuration import Group, Option, Settings
from btard.configuration.shared.network import InitialPeers, PortSettings
from btard.configuration.shared.protocol import TauSettings
from btard.configuration.shared.training import CacheDirectory, ComputeDevice
from btard.swarm.telemetry.settings import TelemetrySettings
from btard.transport.shaping import LinkText
from btard.vocabulary import Device

OutgoingLink = Annotated[
    LinkText | None,
    Option(
        "send messages and parts as slowly as over such a link: rate, latency, jitter, loss, as 100mbit,40ms,5ms,1%",
        group=Group.NETWORK,
    ),
]


class MachineSettings(Settings):
    """What a peer computes on, and what of a run it takes upon itself."""

    directory: Annotated[
        Path, Option("where the key, the log of events and the configuration are written", group=Group.MACHINE)
    ] = Path("btard-peer")
    device: ComputeDevice = Device.AUTO
    data: Annotated[
        str | None,
        Option(
            "where this machine has the run's data: needed where the run trains on a corpus of its coordinator's own "
            "(see btard data)",
            group=Group.MACHINE,
        ),
    ] = None
    tokenizer: Annotated[
        str | None, Option("where this machine has the run's tokenizer, if the run loads one", group=Group.MACHINE)
    ] = None
    cache_dir: CacheDirectory = None
    max_data: Annotated[
        float,
        Field(gt=0),
        Option("the largest Hub data set that a run may have fetched", unit="GiB", group=Group.MACHINE),
    ] = 4.0
    max_batch: Annotated[
        int, Field(ge=1), Option("the largest batch that a run may ask for", unit="samples", group=Group.MACHINE)
    ] = 256
    max_dimension: Annotated[
        int, Field(ge=1), Option("the largest model that a run may ask for", unit="numbers", group=Group.MACHINE)
    ] = 2**30


class PeerSettings(PortSettings, MachineSettings, TauSettings, TelemetrySettings, BehaviourSettings, StageLies):
    """Settings of `btard-peer`. What the run is, the peer learns from the coordinator's manifest."""

    initial_peers: Annotated[InitialPeers, Field(min_length=1)]
    join_timeout: Annotated[
        float,
        Field(gt=0),
        Option("how long an initial peer and the manifest may take to answer", unit="seconds", group=Group.NETWORK),
    ] = 60.0
    give_up_after: Annotated[
        float | None,
        Field(gt=0),
        Option(
            "how long a peer that was a member waits for more than half of the roster's voters, none for ever",
            unit="seconds",
            group=Group.NETWORK,
        ),
    ] = None
    client_mode: Annotated[
        bool,
        Option(
            "take part as a client: compute and send gradients, own no part, validate nothing, have no vote; for peers "
            "that others cannot dial",
            group=Group.NETWORK,
        ),
    ] = False
    link: OutgoingLink = None
    checkpoint_every: Annotated[
        str,
        Field(pattern="^(auto|[0-9]{1,9})$"),
        Option(
            "steps between two training states that this peer keeps for a restart, 0 for none; auto keeps them so that "
            "it takes 2 % of the time at most",
            unit="steps",
            form="auto or a whole number of steps",
            group=Group.CHECKPOINTS,
        ),
    ] = "auto"
    keep_every: Annotated[
        int,
        Field(ge=0),
        Option(
            "of the states that are older than the newest two, keep those before multiples of so many steps, 0 for "
            "none",
            unit="steps",
            group=Group.CHECKPOINTS,
        ),
    ] = 0
    threads: Annotated[
        int,
        Field(ge=0),
        Option("threads of computation, 0 for torch's own choice", unit="threads", group=Group.MACHINE),
    ] = 0

    @property
    def checkpoint_interval(self) -> int | None:
        """Steps between two states that are kept, None for what follows from the time that it takes."""
        return None if self.checkpoint_every == "auto" else int(self.checkpoint_every)
