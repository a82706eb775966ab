"""What a ban rests on: everything that a stranger needs to come to the same verdict, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from btard.identity import Envelope, PeerId
from btard.round.roster import Roster
from btard.round.rules import StepRules


class Offence(StrEnum):
    """What a peer is banned for. The first group is proved by the offender's own signatures, the second by arithmetic
    on bytes that it has signed for, the third by the votes of a majority."""

    EQUIVOCATION = "signed two messages that contradict each other"
    PART_MISMATCH = "signed a part header that contradicts its signed commitment"
    MALFORMED = "signed a message that breaks the rules of its form"
    FALSE_REVEAL = "revealed another share of randomness than it had committed to"
    LOTTERY = "banned itself by the lottery"

    FALSE_SCALARS = "published a product or norm that is not that of its row"
    NOT_FINITE = "sent a row with NaN or infinity"
    TOO_LONG = "sent a part longer than the rules allow"
    WRONG_SUM = "published an aggregate around which the deviations do not add up to zero"
    WRONG_AGGREGATE = "published an aggregate that is not the fixed point of the rows"

    GRADIENT = "sent a vector that is not the gradient of its public seed"
    COVER_UP = "accepted false scalars about a row that it held"
    FALSE_OPENING = "opened other numbers than those of the vector that it had to recompute"
    FALSE_ACCUSATION = "accused a peer that had done nothing wrong"
    ELIMINATED = "was party to a dispute that nobody else can decide"


@dataclass(frozen=True)
class Scene:
    """An attempt, as far as it fixes the form of its messages."""

    roster: Roster
    attempt: int
    members: tuple[PeerId, ...]


@dataclass(frozen=True)
class Evidence:
    """A ban and its proof.

    Attributes:
        offence: what the accused did.
        accused: the banned peer.
        rules: of the run.
        scene: the attempt in which it was found out.
        past: the attempt of the step before that it is about, for GRADIENT and COVER_UP.
        envelopes: signed messages: what contradicts each other, or what the arithmetic needs, or the votes.
        rows: (author, part, wire bytes).
        aggregates: (part, wire bytes).
    """

    offence: Offence
    accused: PeerId
    rules: StepRules
    scene: Scene
    envelopes: tuple[Envelope, ...]
    past: Scene | None = None
    rows: tuple[tuple[PeerId, int, bytes], ...] = ()
    aggregates: tuple[tuple[int, bytes], ...] = ()
