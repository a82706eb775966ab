"""What follows from the failed attempts of a step so far. Everybody derives the same: each failure is agreed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from btard.hashing import tagged_digest
from btard.identity import PeerId
from btard.round.actions import OutcomeKind
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.seats import Seats
from btard.round.failure.resolve import Resolution
from btard.round.messages.accusations import Charge, ChargeKind, Report
from btard.vocabulary import Validation


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

    def hears(self, seats: Seats, accuser: PeerId, charge: Charge) -> bool:
        """Whether the court of an attempt hears a charge: of a voter, against another member, not heard before.

        What a target sent its validator may charge whether or not the target is a member any more: no goodbye outruns
        an audit. That something is withheld only the validator may say, of a member: voters ask nobody on behalf of
        others, and a peer that is gone can show nothing.
        """
        earlier = charge.kind.about_last_step or charge.kind.about_opening
        form = charge.part < seats.partition.count and not (earlier and charge.part)
        heard = (accuser, charge) in self.judged or charge.accused in self.banned
        if heard or not form or accuser not in seats.voters or accuser == charge.accused:
            return False
        member, drawn = charge.accused in seats.known, seats.validators.get(accuser) == charge.accused
        if charge.kind is not ChargeKind.WITHHELD:
            return member or (drawn and charge.kind.about_last_step)
        rules = seats.rules.verification
        return member and drawn and (rules.momentum > 0 or rules.validation is Validation.TOLERANT)

    @property
    def decided(self) -> bytes:
        """What follows from the failures beside the membership, as a digest."""
        return tagged_digest("btard decided", self.redraws.to_bytes(2, "big"), b"".join(sorted(self.banned)))


def admissible(attempt: Attempt, reports: Mapping[PeerId, Report], standing: Standing) -> dict[PeerId, Charge]:
    """Return the charges that the court has to hear, by accuser."""
    charges = [(author, report.charge) for author, report in sorted(reports.items())]
    return {a: charge for a, charge in charges if charge is not None and standing.hears(attempt.seats, a, charge)}


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
