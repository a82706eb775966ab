"""What `btard swarm` is told: which peers take part, which lie and when, and what the coordinator makes a run of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from btard.byzantine.settings import AttackStart, AttackStrength, Crowd, Liars, LiarSettings
from btard.configuration import Group, Option, Port, Seed
from btard.configuration.rule import RuleSettings
from btard.configuration.shared.protocol import (
    AggregationSettings,
    AgreeTimeout,
    CommitTimeout,
    Deadline,
    DeadlineSettings,
    SettleTimeout,
    VerificationSettings,
)
from btard.configuration.shared.training import (
    BatchSize,
    CheckpointSettings,
    MembersFile,
    ModelSettings,
    RateSettings,
    Steps,
    check_checkpoints,
    check_warmup,
)
from btard.deploy.names import NAME_FORM, ExperimentName
from btard.peer.settings import OutgoingLink
from btard.swarm.telemetry.settings import DashboardSettings

MOST_PEERS = 64
"""More processes than this are no test of anything on one machine; the laboratory simulates larger swarms."""


class SwarmSettings(
    ModelSettings,
    RateSettings,
    RuleSettings,
    AggregationSettings,
    VerificationSettings,
    DeadlineSettings,
    CheckpointSettings,
    DashboardSettings,
    LiarSettings,
    AttackStrength,
):
    """Settings of `btard swarm`: a coordinator and peers on this machine, over loopback."""

    peers: Annotated[Crowd, Field(ge=1, le=MOST_PEERS)] = 8
    directory: Annotated[
        Path | None, Option("where the run is written; runs/EXPERIMENT-TIME if not given", group=Group.SWARM)
    ] = None
    experiment: Annotated[ExperimentName, Option("the run's name", group=Group.SWARM, form=NAME_FORM)] = "swarm"
    port: Annotated[
        Port, Option("port of the coordinator's DHT on 127.0.0.1, 0 for a free one", unit="port", group=Group.SWARM)
    ] = 0
    threads: Annotated[
        int, Field(ge=1), Option("threads of computation of each peer", unit="threads", group=Group.SWARM)
    ] = 1
    seed: Annotated[
        Seed,
        Option(
            "seed of weights, batches and the peers' keys: the same seed gives the same run, so keys are for this "
            "machine only",
            group=Group.SWARM,
        ),
    ] = 0
    link: OutgoingLink = None
    steps: Steps = 250
    batch_size: BatchSize = 16
    members: MembersFile = None
    byzantine: Liars = 3
    attack_start: AttackStart = 20
    commit_timeout: CommitTimeout = 20.0
    exchange_timeout: Annotated[
        Deadline,
        Option(
            "how long sending parts may take, and how long sending aggregates", unit="seconds", group=Group.DEADLINES
        ),
    ] = 15.0
    agree_timeout: AgreeTimeout = 10.0
    settle_timeout: SettleTimeout = 3.0

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        check_warmup(self.warmup_steps, self.steps)
        return self

    @model_validator(mode="after")
    def _checkpoints_are_reached(self) -> Self:
        check_checkpoints(self.checkpoint_at, self.steps)
        return self

    @model_validator(mode="after")
    def _somebody_is_honest(self) -> Self:
        if self.byzantine >= self.peers:
            raise ValueError(
                f"{self.byzantine} Byzantine peers of {self.peers} leave nobody honest: lower --byzantine or raise "
                "--peers"
            )
        return self
