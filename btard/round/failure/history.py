"""The failed attempts of a step: what follows from them, and how members come together that heard different things.

Reports are relayed once, so a liar can let some members hear a report at the last moment that the others never hear;
then they go on with different memberships, or different bans. The next commitments show it. All show each other what
was said about all failures, and work out once more what follows: the same testimony, the same outcome.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from btard.hashing import tagged_digest
from btard.identity import Envelope, PeerId
from btard.round.actions import OutcomeKind
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.failure.heard import Heard
from btard.round.failure.resolve import Ban, Resolution
from btard.round.messages.accusations import Charge


@dataclass(frozen=True)
class Standing:
    """What follows from the failures so far.

    Attributes:
        members: of the next attempt.
        banned: in this step.
        judged: charges that need not be heard again.
        redraws: failures after which r^t may have been known.
        reconsidered: failures that only showed that views differ.
    """

    members: tuple[PeerId, ...]
    banned: frozenset[PeerId] = frozenset()
    judged: frozenset[tuple[PeerId, Charge]] = frozenset()
    redraws: int = 0
    reconsidered: int = 0

    def after(self, resolution: Resolution) -> Standing:
        """Return the standing after a failure that was resolved so."""
        return Standing(
            resolution.members,
            self.banned | {ban.peer for ban in resolution.bans},
            self.judged | resolution.judged,
            self.redraws + resolution.redraw,
            self.reconsidered,
        )


@dataclass(frozen=True)
class Outcome:
    """What a failure has come to: the resolution, the bans with the attempts that they are about, and whose ban by an
    earlier failure does not stand any more."""

    resolution: Resolution
    bans: tuple[tuple[Ban, Attempt], ...]
    withdrawn: tuple[PeerId, ...] = ()


class History:
    """The failed attempts of one step, as this peer knows them."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._failed: list[Heard] = []
        self.standing = Standing(context.roster.members)

    @property
    def decided(self) -> bytes:
        """What follows from the failures beside the membership, as a digest."""
        standing = self.standing
        return tagged_digest("btard decided", standing.redraws.to_bytes(2, "big"), b"".join(sorted(standing.banned)))

    @property
    def testimony(self) -> list[Envelope]:
        """Everything that was said about all failures."""
        return [envelope for heard in self._failed for envelope in heard.testimony]

    def blames_views(self, standing: Standing) -> bool:
        """Whether another view is a fault by now: views have come together more often than liars could part them."""
        return standing.reconsidered > len(self._context.roster.voters)

    def take_in(self, heard: Heard, resolution: Resolution) -> Outcome:
        """Take in a failure; the last attempt of the step so far."""
        attempt = heard.attempt
        self._failed.append(heard)
        if attempt.seats.number == 0 or not heard.views_differ or heard.blame_views:
            self.standing = self.standing.after(resolution)
            return Outcome(resolution, tuple((ban, attempt) for ban in resolution.bans))
        return self._replay(heard.earlier)

    def _replay(self, told: Iterable[Envelope]) -> Outcome:
        """Work out again what follows from all failures."""
        context = self._context
        testimony = [*self.testimony, *told]
        standing = Standing(context.roster.members)
        resolutions: list[tuple[Resolution, Attempt]] = []
        for number, failed in enumerate(self._failed):
            attempt = Attempt(context.seats(number, standing.members), papers=failed.attempt.said.papers)
            blame = self.blames_views(standing)
            again = Heard(attempt, standing.judged, blame_views=blame)
            resolution = again.reconsider(testimony)
            if number > 0 and again.views_differ and not again.blame_views:
                standing = replace(standing, reconsidered=standing.reconsidered + 1)
            else:
                standing = standing.after(resolution)
                resolutions.append((resolution, attempt))
        withdrawn = tuple(sorted(self.standing.banned - standing.banned))
        self.standing = standing
        merged = Resolution(
            members=standing.members,
            suspended=tuple(pair for resolution, _ in resolutions for pair in resolution.suspended),
            bans=tuple(ban for resolution, _ in resolutions for ban in resolution.bans),
            left=tuple(peer for resolution, _ in resolutions for peer in resolution.left),
            redraw=False,
            judged=standing.judged,
        )
        bans = tuple((ban, attempt) for resolution, attempt in resolutions for ban in resolution.bans)
        return Outcome(merged, bans, withdrawn)


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
