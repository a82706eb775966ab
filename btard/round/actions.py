"""What a state machine asks of its driver, and what it is told about a step's end."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from btard.identity import Envelope, PeerId
from btard.round.roster import Roster
from btard.transport.base import Payload


@dataclass(frozen=True)
class Send:
    """Queue a control message to each of `peers`."""

    peers: tuple[PeerId, ...]
    data: bytes


@dataclass(frozen=True)
class SendPart:
    """Queue a part to a peer."""

    peer: PeerId
    header: bytes
    payload: Payload


@dataclass(frozen=True)
class EncodeParts:
    """Cut the local vector into `count` parts and hash each; answer with `parts_ready`."""

    attempt: int
    count: int


@dataclass(frozen=True)
class AggregateRows:
    """Aggregate these rows, one a member in roster order, by the run's rule; answer with `aggregate_ready`."""

    attempt: int
    rows: tuple[Payload, ...]
    members: int


@dataclass(frozen=True)
class Finished:
    """The step is over: the attempt's members hold the same bytes.

    Attributes:
        flat: the aggregated vector's wire bytes.
        roster: of the next step.
        certificate: one signed digest a member.
        contributors: how many rows entered, and `refused` the peers whose rows held NaN or infinity in some part.
    """

    step: int
    attempt: int
    flat: memoryview
    roster: Roster
    certificate: tuple[Envelope, ...]
    contributors: int
    refused: frozenset[PeerId]


class OutcomeKind(StrEnum):
    """Why this peer cannot go on."""

    SUSPENDED = "suspended"
    OUT_OF_SYNC = "out of sync"
    NO_MAJORITY = "no majority"


@dataclass(frozen=True)
class Stopped:
    """This peer is no longer part of the run's step; it may join again."""

    step: int
    kind: OutcomeKind
    reason: str


class BanReason(StrEnum):
    """What a ban rests on."""

    EQUIVOCATION = "two signed messages that contradict each other"
    PART_MISMATCH = "a signed part header that contradicts the signed commitment"
    LOTTERY = "banned itself by the lottery"


@dataclass(frozen=True)
class Verdict:
    """A ban, with the signed messages that prove it to anyone."""

    peer: PeerId
    reason: BanReason
    evidence: tuple[Envelope, ...] = field(repr=False)


@dataclass(frozen=True)
class Voided:
    """An attempt failed and is repeated with fewer members; nothing has moved.

    Attributes:
        suspended: who is left out and why, in words.
        verdicts: bans.
        left: who left by its own word.
    """

    step: int
    attempt: int
    suspended: tuple[tuple[PeerId, str], ...]
    verdicts: tuple[Verdict, ...]
    left: tuple[PeerId, ...]


Action = Send | SendPart | EncodeParts | AggregateRows | Finished | Stopped | Voided
