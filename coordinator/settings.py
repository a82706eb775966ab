"""The settings of `btard-coordinator`: where it listens and writes, and what the run is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from btard.configuration import Group, Option, Port
from btard.configuration.rule import RuleSettings
from btard.configuration.shared.network import HostSettings
from btard.configuration.shared.protocol import (
    AggregationSettings,
    Deadline,
    DeadlineSettings,
    VerificationSettings,
)
from btard.configuration.shared.training import (
    CheckpointSettings,
    CorpusSettings,
    GradientSettings,
    MembersFile,
    RateSettings,
    check_checkpoints,
    check_warmup,
)
from btard.coordinator.pipeline_settings import PipelineSettings
from btard.hexadecimal import HexName
from btard.swarm.telemetry.settings import DashboardSettings, TelemetrySettings
from btard.vocabulary import MAX_FIRST_ROSTER, MAX_STEPS, WireType

DEFAULT_TAU = 0.01
"""Clipping radius of a part when neither a flag nor the environment gives one."""


class CoordinatorSettings(
    HostSettings,
    CorpusSettings,
    GradientSettings,
    RateSettings,
    PipelineSettings,
    RuleSettings,
    AggregationSettings,
    VerificationSettings,
    DeadlineSettings,
    CheckpointSettings,
    DashboardSettings,
    TelemetrySettings,
):
    """Settings of `btard-coordinator`, the first peer of a run, which says what the run is and welcomes the others."""

    experiment: Annotated[str, Field(min_length=1, max_length=100), Option("the run's name")]
    directory: Annotated[
        Path, Option("where the key, the manifest, events, metrics and checkpoints are written; a run resumes in it")
    ] = Path("btard-coordinator")
    nonce: Annotated[
        HexName | None,
        Option(
            "16 bytes in hex that go into the run's name beside its rules, none for random ones; a second run must not "
            "have them",
            form="32 of the digits 0 to 9 and a to f",
        ),
    ] = None
    dht_port: Annotated[Port, Option("port to listen on, 0 for a free one", unit="port", group=Group.NETWORK)] = 31337
    peers: Annotated[
        int,
        Field(ge=1, le=MAX_FIRST_ROSTER),
        Option(
            "how many form the first roster; with fewer than 4 nobody is validated, with 5 one may be banned",
            unit="peers",
            group=Group.TRAINING,
        ),
    ] = 5
    members: MembersFile = None
    total_steps: Annotated[
        int | None,
        Field(ge=1, le=MAX_STEPS),
        Option("steps of the run, none for the task's own", unit="steps", group=Group.TRAINING),
    ] = None
    wire: Annotated[WireType, Option("numbers as they travel", group=Group.AGGREGATION)] = WireType.FLOAT32
    tolerance: Annotated[
        Path | None,
        Option(
            "file of thresholds that btard calibrate has measured; none for 0.05 and 0.025", group=Group.VERIFICATION
        ),
    ] = None
    same_randomness: Annotated[
        bool,
        Option(
            "let a step that is repeated after most peers were gone draw what it drew before: only to compare an "
            "experiment with one that was not interrupted, since liars then know the draw",
            group=Group.VERIFICATION,
        ),
    ] = False
    scatter_timeout: Annotated[
        Deadline, Option("time to send the parts to their owners", unit="seconds", group=Group.DEADLINES)
    ] = 60.0
    gather_timeout: Annotated[
        Deadline, Option("time to send the aggregates to everyone", unit="seconds", group=Group.DEADLINES)
    ] = 60.0
    refresh_period: Annotated[
        Deadline, Option("time between two looks at the swarm", unit="seconds", group=Group.REPORTS)
    ] = 2.0
    metrics_period: Annotated[
        Deadline, Option("time between two publications of a peer's metrics", unit="seconds", group=Group.REPORTS)
    ] = 2.0

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        check_warmup(self.warmup_steps, self.total_steps)
        return self

    @model_validator(mode="after")
    def _fits_a_pipeline(self) -> Self:
        for given, flag in (
            (self.initial_state is not None, "initial-state"),
            (self.checkpoint_every or self.checkpoint_steps, "checkpoint-every or --checkpoint-at"),
        ):
            if self.pipeline is not None and given:
                raise ValueError(f"--{flag} is not of runs in stages; leave it away, or leave --pipeline away")
        return self

    @model_validator(mode="after")
    def _checkpoints_are_reached(self) -> Self:
        check_checkpoints(self.checkpoint_at, self.total_steps)
        return self
