"""What follows from the failed attempts of a step so far. Everybody derives the same: each failure is agreed on."""

from __future__ import annotations

from dataclasses import dataclass

from btard.hashing import tagged_digest
from btard.identity import PeerId
from btard.round.actions import OutcomeKind
from btard.round.attempt.attempt import Attempt
from btard.round.failure.resolve import Resolution
from btard.round.messages.accusations import Charge


@dataclass(frozen=True)
class Standing:
    """What follows from the failures so far.

    Attributes:
        members: of the next attempt.
        banned: in this step.
        judged: charges that need not be heard again.
        redraws: failures after which r^t may have been known.
    """

    members: tuple[PeerId, ...]
    banned: frozenset[PeerId] = frozenset()
    judged: frozenset[tuple[PeerId, Charge]] = frozenset()
    redraws: int = 0

    def after(self, resolution: Resolution) -> Standing:
        """Return the standing after a failure that was resolved so."""
        return Standing(
            resolution.members,
            self.banned | {ban.peer for ban in resolution.bans},
            self.judged | resolution.judged,
            self.redraws + resolution.redraw,
        )

    @property
    def decided(self) -> bytes:
        """What follows from the failures beside the membership, as a digest."""
        return tagged_digest("btard decided", self.redraws.to_bytes(2, "big"), b"".join(sorted(self.banned)))


def end_of_road(attempt: Attempt, resolution: Resolution) -> tuple[OutcomeKind, str] | None:
    """Return why the peer of a failed attempt cannot take part in the next one, or None."""
    seats = attempt.seats
    me, roster = seats.me, seats.roster
    ban = next((ban for ban in resolution.bans if ban.peer == me), None)
    if ban is not None:
        return OutcomeKind.BANNED, f"it {ban.offence}"
    if me not in resolution.members:
        return OutcomeKind.SUSPENDED, dict(resolution.suspended).get(me, "it left")
    if not roster.is_majority(resolution.members):
        left = len(roster.voters.intersection(resolution.members))
        return OutcomeKind.NO_MAJORITY, f"{left} of {len(roster.voters)} are left, and more than half must agree"
    if seats.number > 2 * len(roster.members):
        return OutcomeKind.NO_MAJORITY, f"{seats.number + 1} attempts have failed"
    return None
