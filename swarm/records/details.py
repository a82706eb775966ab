"""What a peer tells about itself beside its losses, for people to look at: decoded strictly, and never believed."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from btard.transport.stages import Stage

MAX_TOLD = 8
"""Examinations, and exclusions, in one record."""

MAX_REASON = 160
"""Characters of the reason of an exclusion."""

MOST_NUMERICS = 160
"""Characters of what decides how numbers are rounded."""

Count = Annotated[int, Field(ge=0, lt=2**62)]
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


def _in_one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must have no characters that cannot be printed")
    return text


OneLine = AfterValidator(_in_one_line)
PeerText = Annotated[str, Field(pattern="^[1-9A-HJ-NP-Za-km-z]{40,64}$")]


class Found(StrEnum):
    """What a validator found when it recomputed another peer's vector."""

    SAME = "same"
    DIFFERS = "differs"
    WITHHELD = "withheld"
    """The target did not show the momentum that its vector was built on."""
    UNKNOWN = "unknown"
    """The validator did not hold the state of the step before."""


class Part(BaseModel):
    """What a record is made of: fixed, and refused with anything more."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Examination(Part):
    """A validator's finding: in `step` it looked at what `target` had sent in the step before."""

    step: Count
    target: PeerText
    found: Found


class Exclusion(Part):
    """A member that was left out of a step, without being banned, and why."""

    step: Count
    peer: PeerText
    reason: Annotated[str, Field(max_length=MAX_REASON), OneLine]


class PeerDetails(Part):
    """A peer's machine, traffic, latest step and latest findings.

    Attributes:
        version: of this software.
        numerics: what decides how numbers are rounded there.
        bytes_sent, bytes_received: by its transport since it started.
        step: the latest that it finished.
        stages: seconds that each Stage of that step took, in the order of the enumeration.
        examined: its latest findings as a validator, ascending by step.
        excluded: the latest members that were left out, ascending by step.
    """

    version: Annotated[str, Field(max_length=32), OneLine]
    numerics: Annotated[str, Field(max_length=MOST_NUMERICS), OneLine]
    bytes_sent: Count
    bytes_received: Count
    step: Count
    stages: Annotated[list[Seconds], Field(min_length=len(Stage), max_length=len(Stage))]
    examined: Annotated[list[Examination], Field(max_length=MAX_TOLD)]
    excluded: Annotated[list[Exclusion], Field(max_length=MAX_TOLD)]
