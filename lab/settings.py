"""What `btard simulate` is told: who takes part, who lies and when, on what network, under which rules."""

from __future__ import annotations

import re
import shlex
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from btard.configuration import Option, Probability, RuleSettings
from btard.configuration.options import settings_of
from btard.vocabulary import MAX_PEERS, Eliminate, Validation

warnings.filterwarnings("ignore", 'Field name "json"', UserWarning)  # pydantic has a deprecated method of that name

_SWARM = "Swarm"
_ATTACK = "Byzantine peers"
_NETWORK = "Network"
_PROTOCOL = "Protocol"
_OUTPUT = "Output"


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


class SimulateSettings(RuleSettings):
    """Settings of `btard simulate`: many peers in one process, a virtual clock, a network that a seed decides."""

    peers: Annotated[
        int, Field(ge=2, le=MAX_PEERS), Option("how many peers, honest and Byzantine", unit="peers", group=_SWARM)
    ] = 16
    steps: Annotated[int, Field(ge=1, le=10**6), Option("how many steps", unit="steps", group=_SWARM)] = 300
    seed: Annotated[
        int,
        Field(ge=0, lt=2**63),
        Option("seed of everything: with the same settings it gives the same run", group=_SWARM),
    ] = 0
    task: Annotated[
        WorkloadName,
        Option(
            "what is trained; quadratic is the distance to a point under noise, none draws gradients from the public "
            "seed and trains nothing",
            group=_SWARM,
        ),
    ] = WorkloadName.DIGITS
    dimension: Annotated[
        int, Field(ge=1, le=2**27), Option("numbers in a gradient of quadratic and none", unit="numbers", group=_SWARM)
    ] = 1024
    batch_size: Annotated[
        int, Field(ge=1, le=2**20), Option("samples of a peer in a step of digits", unit="samples", group=_SWARM)
    ] = 8
    rejoin: Annotated[Rejoin, Option("which suspended peers ask to be admitted again", group=_SWARM)] = Rejoin.HONEST
    newcomers: Annotated[
        int,
        Field(ge=0, le=MAX_PEERS),
        Option("honest peers that ask to join later", unit="peers", group=_SWARM),
    ] = 0
    newcomers_at: Annotated[int, Field(ge=0), Option("after which step they ask", unit="steps", group=_SWARM)] = 5

    byzantine: Annotated[
        int, Field(ge=0, le=MAX_PEERS), Option("how many of the peers lie", unit="peers", group=_ATTACK)
    ] = 0
    attack: Annotated[
        list[str],
        Field(default_factory=lambda: ["SIGN_FLIPPING"], min_length=1),
        Option(
            "what they do wrong, any installed ATTACK_TYPE; several are dealt in turn",
            group=_ATTACK,
            env=("ATTACK_TYPE",),
        ),
    ]
    attack_start: Annotated[
        int, Field(ge=0), Option("first step of the attack", unit="steps", group=_ATTACK, env=("ATTACK_START",))
    ] = 0
    attack_every: Annotated[
        int, Field(ge=1), Option("attack in every so many steps only", unit="steps", group=_ATTACK)
    ] = 1
    attack_proba: Annotated[
        Probability,
        Option("how likely each step is attacked", unit="probability", group=_ATTACK, env=("ATTACK_PROBA",)),
    ] = 1.0
    sybils: Annotated[
        int,
        Field(ge=0, le=MAX_PEERS),
        Option("fresh identities that banned attackers come back with, in all", unit="identities", group=_ATTACK),
    ] = 0

    delay: Annotated[
        str, Option("seconds that a message travels: a number, or a range such as 0.01-0.2", group=_NETWORK)
    ] = "0.01"
    loss: Annotated[
        Probability, Option("how likely a message or a part is lost", unit="probability", group=_NETWORK)
    ] = 0.0
    cut: Annotated[
        list[str],
        Field(default_factory=list),
        Option(
            "times in which the first peers cannot reach the others, each START-END:PEERS in virtual seconds, such as "
            "3-5.5:2",
            group=_NETWORK,
        ),
    ]

    validators: Annotated[
        float, Field(ge=0, le=MAX_PEERS), Option("mean number of validators a step", unit="peers", group=_PROTOCOL)
    ] = 1.0
    validation: Annotated[
        Validation, Option("how a recomputed gradient is compared with the committed one", group=_PROTOCOL)
    ] = Validation.EXACT
    eliminate: Annotated[
        Eliminate, Option("what becomes of two peers in a dispute that nobody else can decide", group=_PROTOCOL)
    ] = Eliminate.SUSPEND
    probation: Annotated[
        int,
        Field(ge=0, le=10**6),
        Option("steps in which a newcomer's gradients are checked and not used", unit="steps", group=_PROTOCOL),
    ] = 0
    tau: Annotated[
        float | None,
        Field(gt=0),
        Option("clipping radius of a part among so many peers; the task's own if not given", group=_PROTOCOL),
    ] = None
    clip: Annotated[
        float | None,
        Field(gt=0),
        Option("BTARD-Clipped-SGD: longest vector that a peer may send; any if not given", group=_PROTOCOL),
    ] = None

    momentum: Annotated[
        float,
        Field(ge=0, lt=1),
        Option("share of a peer's last vector in the next one that it sends, 0 for none", group=_PROTOCOL),
    ] = 0.0

    check: Annotated[
        bool, Option("check after every step what must hold, and stop when something does not", group=_OUTPUT)
    ] = True
    json: Annotated[bool, Option("print one JSON object instead of a table", group=_OUTPUT)] = False  # type: ignore
    output: Annotated[Path | None, Option("directory for the evidence of bans and the report", group=_OUTPUT)] = None

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
