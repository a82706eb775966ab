"""What a state machine asks of its driver, and what it is told about a step's end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

import torch

from btard.hashing import Payload
from btard.identity import Envelope, PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.debts import Debt
from btard.round.attempt.pledges import NO_PLEDGES, Pledges
from btard.round.evidence.evidence import Evidence
from btard.round.messages.opening import Opening
from btard.round.roster import Roster
from btard.round.rules import AggregationRules
from btard.vectors.momentum import Link
from btard.vectors.partition import Partition


@dataclass(frozen=True)
class Send:
    """Queue a control message to each of `peers`, after `delay` seconds; only attackers delay anything."""

    peers: tuple[PeerId, ...]
    data: bytes
    delay: float = 0.0


@dataclass(frozen=True)
class SendPart:
    """Queue a part to a peer. A driver matches it as SendPart(peer, header, payload).

    Attributes:
        envelope: of the signed header.
    """

    __match_args__ = ("peer", "header", "payload")

    peer: PeerId
    envelope: Envelope
    payload: Payload

    @property
    def header(self) -> bytes:
        """The header's bytes."""
        return self.envelope.encode()


@dataclass(frozen=True)
class ComputeGradient:
    """Compute what this peer submits in the step of a roster; asked for once a step; `GradientComputed` answers."""

    roster: Roster

    @property
    def step(self) -> int:
        """The global step."""
        return self.roster.step


@dataclass(frozen=True)
class EncodeParts:
    """Cut the own vector, float32 of shape (d,), into `count` parts and hash each; `PartsEncoded` answers."""

    attempt: int
    count: int
    vector: torch.Tensor = field(repr=False, compare=False)


@dataclass(frozen=True)
class AggregateRows:
    """Aggregate these rows, one a worker in roster order, by the rules of the step; `RowsAggregated` answers.

    `parts` is the number of parts of the attempt, which decides the clipping radius.
    """

    attempt: int
    rules: AggregationRules
    rows: tuple[Payload, ...]
    parts: int


@dataclass(frozen=True)
class MeasureRows:
    """Project deviations from the aggregates onto the random vector of r^t; `RowsMeasured` answers.

    Attributes:
        own: the own vector's parts; none for a validator.
        part: the own part, and `column` everyone's rows of it; None and none for a peer that owns no part.
        flat: all aggregates.
    """

    attempt: int
    randomness: bytes
    partition: Partition
    tau: float
    own: tuple[Payload, ...]
    part: int | None
    column: tuple[Payload, ...]
    flat: memoryview


@dataclass(frozen=True)
class InspectRow:
    """Measure one row of one part; `RowInspected` answers."""

    attempt: int
    randomness: bytes
    partition: Partition
    tau: float
    author: PeerId
    part: int
    row: Payload
    flat: memoryview


@dataclass(frozen=True)
class AggregateAgain:
    """Compare the aggregate of a part with its rows, one a worker, by the rules of the step; `AggregateCompared`
    answers."""

    attempt: int
    rules: AggregationRules
    partition: Partition
    part: int
    rows: tuple[Payload, ...]
    flat: memoryview


@dataclass(frozen=True)
class Examine:
    """Recompute the vector that `target` had to send in the step before, and compare; `TargetExamined` answers.

    Attributes:
        step: the global step in which this is asked.
        record: the attempt that finished the step before; None if this peer took no part in it.
        link: what the target was last seen to submit before that; None if nothing.
        pledges: what the target committed to in attempts at that step that failed when r^t may have been known.
        accusers: peers that have charged the target, and have been shown what that rests on; for its validator those
            that ask the target on its behalf.
        within_seconds: how long answers may take, all together.
        judges: the voters, where a validator looks back at an incarnation that is over: it accuses nobody unless more
            than half of them hold the same record. Empty where all are known to.
    """

    step: int
    target: PeerId
    record: Attempt | None = field(repr=False)
    link: Link | None
    pledges: Pledges = NO_PLEDGES
    accusers: tuple[PeerId, ...] = ()
    within_seconds: float = math.inf
    judges: tuple[PeerId, ...] = ()


@dataclass(frozen=True)
class Recall:
    """Say whether a target withholds what it must show: `Recalled` answers.

    Attributes:
        examine: what is known of the target.
        accuser: its validator, which says so, and must have asked this peer to ask the target.
    """

    examine: Examine
    accuser: PeerId

    @property
    def step(self) -> int:
        """The global step in which this is asked."""
        return self.examine.step


@dataclass(frozen=True)
class SketchVector:
    """Measure a vector, float32 of shape (d,), along the direction of an opening; `VectorSketched` answers."""

    step: int
    direction: bytes
    vector: torch.Tensor = field(repr=False, compare=False)


@dataclass(frozen=True)
class CheckOpening:
    """Recompute what a validator had to, and compare with what it opens in `step`; `OpeningChecked` answers."""

    step: int
    debt: Debt
    opening: Opening


class OutcomeKind(StrEnum):
    """Why this peer cannot go on."""

    BANNED = "banned"
    SUSPENDED = "suspended"
    OUT_OF_SYNC = "out of sync"
    NO_MAJORITY = "no majority"


@dataclass(frozen=True)
class Stopped:
    """This peer is no longer part of the run's step; unless it is banned it may join again."""

    step: int
    kind: OutcomeKind
    reason: str


@dataclass(frozen=True)
class Verdict:
    """A ban, with the evidence that proves it to anyone."""

    peer: PeerId
    evidence: Evidence = field(repr=False)


@dataclass(frozen=True)
class Finished:
    """The step is over: the attempt's members hold the same bytes.

    Attributes:
        flat: the aggregated vector's wire bytes.
        roster: of the next step.
        certificate: one signed digest a member; nothing if the members agree that fewer are enough.
        submitted: whether this peer has committed to a vector; it may have computed one and become a validator.
    """

    step: int
    attempt: int
    flat: memoryview
    roster: Roster
    certificate: tuple[Envelope, ...]
    submitted: bool = True


@dataclass(frozen=True)
class Voided:
    """An attempt failed and is repeated with fewer members; nothing has moved.

    Attributes:
        suspended: peers that are left out and why, in words.
        verdicts: bans.
        left: peers that left by their own word.
    """

    step: int
    attempt: int
    suspended: tuple[tuple[PeerId, str], ...]
    verdicts: tuple[Verdict, ...]
    left: tuple[PeerId, ...]


Work = EncodeParts | AggregateRows | MeasureRows | InspectRow | AggregateAgain | SketchVector
"""What a pure function does: `execute`."""

Task = ComputeGradient | Examine | Recall | CheckOpening | Work
"""What takes time, and is answered."""

Action = Send | SendPart | Task | Finished | Stopped | Voided
