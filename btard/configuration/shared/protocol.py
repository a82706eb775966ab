"""By which rules peers aggregate, verify each other and wait."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from btard.configuration.groups import Group
from btard.configuration.options import Option
from btard.configuration.settings import Settings
from btard.vocabulary import LEAST_SLOWEST, MAX_VALIDATORS, MOST_SLOWEST, SLOWEST, Eliminate, Validation

Deadline = Annotated[float, Field(gt=0, le=86400)]
"""A time that is waited, a day at most; give its Option the unit `seconds`."""

CommitTimeout = Annotated[
    Deadline, Option("time to compute a gradient and commit to it", unit="seconds", group=Group.DEADLINES)
]
AgreeTimeout = Annotated[
    Deadline, Option("time to agree on the result of a step", unit="seconds", group=Group.DEADLINES)
]
SettleTimeout = Annotated[
    Deadline, Option("time that one small message may travel", unit="seconds", group=Group.DEADLINES)
]
ValidationMode = Annotated[
    Validation,
    Option(
        "how a recomputed gradient is compared: exact by hashes, only where all machines and their --threads are "
        "alike, or tolerant with thresholds",
        group=Group.VERIFICATION,
    ),
]
Probation = Annotated[
    int,
    Field(ge=0, lt=2**31),
    Option("steps in which a newcomer's gradients are checked and not used", unit="steps", group=Group.VERIFICATION),
]

Slowest = Annotated[
    float,
    Field(ge=LEAST_SLOWEST, le=MOST_SLOWEST),
    Option(
        "a member is left out that keeps most others waiting for more than so many times the time that half of the "
        "members take for a step, but never for less than half of the time that one small message may travel",
        group=Group.DEADLINES,
    ),
]


class TauSettings(Settings):
    """The clipping radius of CenteredClip under both of its published names."""

    tau: Annotated[
        float | None,
        Field(gt=0),
        Option(
            "clipping radius of CenteredClip, compared with the distance of a part from the aggregate",
            group=Group.AGGREGATION,
            env=("HIVEMIND_TAU", "CCLIP_TAU"),
        ),
    ] = None


class AggregationSettings(TauSettings):
    """What peers send, and how far one of them can pull the aggregate."""

    momentum: Annotated[
        float,
        Field(ge=0, lt=1),
        Option("share of a peer's last vector in the next one that it sends, 0 for none", group=Group.AGGREGATION),
    ] = 0.0
    clip: Annotated[
        float | None,
        Field(gt=0),
        Option(
            "BTARD-Clipped-SGD: the longest vector that a peer may send, each of n parts at most this over the root of "
            "n; none for no limit",
            group=Group.AGGREGATION,
        ),
    ] = None


class VerificationSettings(Settings):
    """How hard peers look at each other, and what becomes of them."""

    validators: Annotated[
        float | None,
        Field(ge=0, le=MAX_VALIDATORS),
        Option(
            "validators a step, below 1 for one every few steps; also the owners whose own part a witness checks; none "
            "for one per 16 peers",
            unit="peers",
            group=Group.VERIFICATION,
        ),
    ] = None
    validation: ValidationMode = Validation.TOLERANT
    eliminate: Annotated[
        Eliminate,
        Option(
            "what becomes of two peers in a dispute that nobody else can decide: both suspended, or both banned as in "
            "the paper",
            group=Group.VERIFICATION,
        ),
    ] = Eliminate.SUSPEND
    probation: Probation = 20


class DeadlineSettings(Settings):
    """How long peers wait for each other."""

    commit_timeout: CommitTimeout = 120.0
    agree_timeout: AgreeTimeout = 20.0
    settle_timeout: SettleTimeout = 3.5
    slowest: Slowest = SLOWEST
