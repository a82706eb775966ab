"""Who does what in one attempt at a step: its roster and members fix all of it when it begins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from btard.aggregation.rule import FixedPoint
from btard.hashing import tagged_digest
from btard.identity import PeerId
from btard.round.draw import enough_auditors, ranking
from btard.round.messages.caps import Caps, caps_of
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.round.vectors.aggregation import part_equation, part_tau
from btard.round.vectors.partition import Partition


def attempt_id_of(rules: StepRules, roster: Roster, attempt: int, members: tuple[PeerId, ...]) -> bytes:
    """Return the 32 bytes that name an attempt: run, roster, number and membership."""
    return tagged_digest("btard attempt", rules.run, roster.digest, attempt.to_bytes(2, "big"), b"".join(members))


@dataclass(frozen=True)
class Seats:
    """The roles and parts of one attempt.

    Attributes:
        rules: of the run.
        roster: of the step.
        number: counts the attempts of the step from 0.
        members: take part in agreement and randomness, ascending.
        me: this peer, one of the members.
    """

    rules: StepRules
    roster: Roster
    number: int
    members: tuple[PeerId, ...]
    me: PeerId

    @cached_property
    def attempt_id(self) -> bytes:
        """The 32 bytes that name the attempt in what its members sign."""
        return attempt_id_of(self.rules, self.roster, self.number, self.members)

    @cached_property
    def known(self) -> frozenset[PeerId]:
        """The members, to be looked up."""
        return frozenset(self.members)

    @cached_property
    def voters(self) -> frozenset[PeerId]:
        """The members whose word counts."""
        return self.roster.voters & self.known

    @cached_property
    def submitters(self) -> tuple[PeerId, ...]:
        """The members that commit to a gradient: all but validators."""
        validators = self.roster.validators
        return tuple(peer for peer in self.members if peer not in validators)

    @cached_property
    def submitting(self) -> frozenset[PeerId]:
        """The submitters, to be looked up."""
        return frozenset(self.submitters)

    @cached_property
    def workers(self) -> tuple[PeerId, ...]:
        """The submitters whose gradients count: all but newcomers on probation."""
        newcomers = self.roster.newcomers
        return tuple(peer for peer in self.submitters if peer not in newcomers)

    @cached_property
    def owners(self) -> tuple[PeerId, ...]:
        """The workers in the order of the parts that they own, which r^{t-1} draws."""
        return tuple(ranking(self.roster.randomness, "owner", self.workers))

    @cached_property
    def part_of(self) -> dict[PeerId, int]:
        """The part that each owner owns."""
        return {peer: part for part, peer in enumerate(self.owners)}

    @cached_property
    def my_part(self) -> int | None:
        """The part that this peer owns, None for one that owns none."""
        return self.part_of.get(self.me)

    @cached_property
    def partition(self) -> Partition:
        """How a vector is cut into parts, one an owner."""
        return Partition(self.rules.dimension, max(1, len(self.owners)), self.rules.wire)

    @cached_property
    def equation(self) -> FixedPoint | None:
        """The equation that the aggregate of a part solves; None where rows have to be aggregated once more to know."""
        return part_equation(self.rules.aggregation, self.partition.count)

    @cached_property
    def tau(self) -> float:
        """The clipping radius of a part, infinite where nothing is clipped."""
        return part_tau(self.rules.aggregation, self.partition.count)

    @cached_property
    def auditors(self) -> int:
        """How many peers aggregate each part once more, to see that its owner has: 0 where a sum proves it."""
        if self.equation is not None:
            return 0
        wanted = self.rules.verification.auditors
        return min(enough_auditors(len(self.roster.voters)) if wanted is None else wanted, len(self.voters) - 1)

    @cached_property
    def check_seconds(self) -> float:
        """How long the rows that are checked may take to arrive: as many vectors as each peer audits parts."""
        return self.rules.scatter_seconds * max(1, self.auditors)

    @cached_property
    def target(self) -> PeerId | None:
        """The peer that this one validates, None for one that is no validator."""
        return self.roster.validators.get(self.me)

    @cached_property
    def others(self) -> tuple[PeerId, ...]:
        """The members but this peer, beginning after it, so that not all begin with the same receiver."""
        here = self.members.index(self.me)
        return self.members[here + 1 :] + self.members[:here]

    @cached_property
    def caps(self) -> Caps:
        """How long messages may be, and how many."""
        return caps_of(len(self.roster.members))

    def is_majority(self, count: int) -> bool:
        """Whether so many voters are more than half of those in the attempt."""
        return 2 * count > len(self.voters)
