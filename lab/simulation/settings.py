"""What `btard simulate` is told: which peers take part, which lie and when, on what network, under which rules."""

from __future__ import annotations

import re
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from btard.byzantine.settings import AttackStart, Crowd, Liars, LiarSettings
from btard.configuration import Group, Option, Probability, Seed
from btard.configuration.options import settings_of
from btard.configuration.rule import RuleSettings
from btard.configuration.shared.output import JsonSettings
from btard.configuration.shared.protocol import (
    AggregationSettings,
    Probation,
    Slowest,
    ValidationMode,
    VerificationSettings,
)
from btard.vocabulary import MAX_BATCH, MAX_PEERS, SLOWEST, Validation


class WorkloadName(StrEnum):
    """What is trained."""

    DIGITS = "digits"
    QUADRATIC = "quadratic"
    NONE = "none"


class Rejoin(StrEnum):
    """Which suspended peers ask to be admitted again."""

    HONEST = "honest"
    ALL = "all"
    NONE = "none"


class SimulateSettings(RuleSettings, AggregationSettings, VerificationSettings, LiarSettings, JsonSettings):
    """Settings of `btard simulate`: many peers in one process, a virtual clock, a network that a seed decides."""

    peers: Annotated[Crowd, Field(ge=2, le=MAX_PEERS)] = 16
    steps: Annotated[int, Field(ge=1, le=10**6), Option("how many steps", unit="steps", group=Group.SWARM)] = 300
    seed: Annotated[
        Seed,
        Option("seed of everything: with the same settings it gives the same run", group=Group.SWARM),
    ] = 0
    task: Annotated[
        WorkloadName,
        Option(
            "what is trained; quadratic is the distance to a point under noise, none draws gradients from the public "
            "seed and trains nothing",
            group=Group.SWARM,
        ),
    ] = WorkloadName.DIGITS
    dimension: Annotated[
        int,
        Field(ge=1, le=2**27),
        Option("numbers in a gradient of quadratic and none", unit="numbers", group=Group.SWARM),
    ] = 1024
    batch_size: Annotated[
        int,
        Field(ge=1, le=MAX_BATCH),
        Option("samples of a peer in a step of digits", unit="samples", group=Group.SWARM),
    ] = 8
    rejoin: Annotated[Rejoin, Option("which suspended peers ask to be admitted again", group=Group.SWARM)] = (
        Rejoin.HONEST
    )
    newcomers: Annotated[
        int,
        Field(ge=0, le=MAX_PEERS),
        Option("honest peers that ask to join later", unit="peers", group=Group.SWARM),
    ] = 0
    newcomers_at: Annotated[int, Field(ge=0), Option("after which step they ask", unit="steps", group=Group.SWARM)] = 5

    byzantine: Annotated[Liars, Field(le=MAX_PEERS)] = 0
    attack_start: AttackStart = 0
    clients: Annotated[
        int,
        Field(ge=0, le=MAX_PEERS),
        Option(
            "how many of the peers are clients, which own no part, validate nothing and have no vote: the Byzantine "
            "ones first",
            unit="peers",
            group=Group.SWARM,
        ),
    ] = 0
    sybils: Annotated[
        int,
        Field(ge=0, le=MAX_PEERS),
        Option(
            "fresh identities that banned attackers come back with, in all", unit="identities", group=Group.BYZANTINE
        ),
    ] = 0

    delay: Annotated[
        str, Option("seconds that a message travels: a number, or a range such as 0.01-0.2", group=Group.NETWORK)
    ] = "0.01"
    loss: Annotated[
        Probability, Option("how likely a message or a part is lost", unit="probability", group=Group.NETWORK)
    ] = 0.0
    cut: Annotated[
        list[str],
        Field(default_factory=list),
        Option(
            "times in which the first peers cannot reach the others, each START-END:PEERS in virtual seconds, such as "
            "3-5.5:2",
            group=Group.NETWORK,
        ),
    ]

    validators: Annotated[
        float,
        Field(ge=0, le=MAX_PEERS),
        Option("mean number of validators a step", unit="peers", group=Group.VERIFICATION),
    ] = 1.0
    validation: ValidationMode = Validation.EXACT
    probation: Annotated[Probation, Field(le=10**6)] = 0
    slowest: Slowest = SLOWEST

    check: Annotated[
        bool, Option("check after every step what must hold, and stop when something does not", group=Group.OUTPUT)
    ] = True
    output: Annotated[Path | None, Option("directory for the evidence of bans and the report", group=Group.OUTPUT)] = (
        None
    )

    @field_validator("delay")
    @classmethod
    def _is_a_delay(cls, value: str) -> str:
        _range(value)
        return value

    @field_validator("cut")
    @classmethod
    def _are_cuts(cls, value: list[str]) -> list[str]:
        for text in value:
            _cut(text)
        return value

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.byzantine >= self.peers:
            raise ValueError(f"--byzantine is {self.byzantine} of {self.peers} peers, but at least one must be honest")
        if 2 * self.clients > self.peers:
            raise ValueError(f"--clients is {self.clients} of {self.peers} peers, but at most half may be clients")
        return self

    @property
    def delays(self) -> tuple[float, float]:
        """(least, most) seconds that a message travels."""
        return _range(self.delay)

    @property
    def cuts(self) -> list[tuple[float, float, int]]:
        """(from, until, how many peers are cut off), in virtual seconds."""
        return [_cut(text) for text in self.cut]

    @property
    def reliable(self) -> bool:
        """Whether every message arrives within the bound on delay, as the protocol assumes."""
        return self.loss == 0.0 and not self.cut

    @property
    def command(self) -> str:
        """The command that repeats this run."""
        words = ["btard", "simulate"]
        for name, setting in settings_of(type(self)).items():
            value = getattr(self, name)
            if value == setting.default or name in ("json", "output"):
                continue
            if setting.is_switch:
                words.append(setting.flag if value else setting.flag.replace("--", "--no-", 1))
            else:
                words += [setting.flag, ",".join(map(str, value)) if setting.is_list else str(value)]
        return shlex.join(words)


def _range(text: str) -> tuple[float, float]:
    match = re.fullmatch(r"\s*([\d.]+)\s*(?:-\s*([\d.]+)\s*)?", text)
    try:
        assert match is not None
        least, most = float(match[1]), float(match[2] or match[1])
    except (AssertionError, ValueError):
        raise ValueError(f"{text!r} is neither a number of seconds nor a range such as 0.01-0.2") from None
    if not 0 <= least <= most <= 3600:
        raise ValueError(f"{text!r} must be an ascending range of seconds, at most an hour")
    return least, most


def _cut(text: str) -> tuple[float, float, int]:
    times, colon, count = text.partition(":")
    if not colon or not count.isdecimal() or int(count) < 1:
        raise ValueError(f"{text!r} is no cut such as 3-5.5:2")
    start, end = _range(times)
    return start, end, int(count)
