"""The seats of one attempt at a step: its roster and members fix all of it when it begins."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cached_property
from typing import Final

from btard.aggregation.rule import FixedPoint
from btard.hashing import tagged_digest
from btard.identity import PeerId
from btard.round.aggregates import part_equation, part_tau
from btard.round.draw import enough_auditors, ranking, seat_audits
from btard.round.messages.caps import Caps, caps_of
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.vectors.partition import Partition
from btard.verification.thresholds import FIXED_POINT, RECOMPUTED, Thresholds


def attempt_id_of(rules: StepRules, roster: Roster, attempt: int, members: tuple[PeerId, ...]) -> bytes:
    """Return the 32 bytes that name an attempt: run, roster, number and membership."""
    return tagged_digest("btard attempt", rules.run, roster.digest, attempt.to_bytes(2, "big"), b"".join(members))


class Seats:
    """The roles and parts of one attempt: attributes alone, since every arrival asks for some of them.

    Attributes:
        rules: of the run.
        roster: of the step.
        number: counts the attempts of the step from 0.
        members: take part in agreement and randomness, ascending; `known` is the set of them.
        me: this peer, one of the members.
        others: the members but this peer, beginning after it, so that not all begin with the same receiver.
        attempt_id: the 32 bytes that name the attempt in what its members sign.
        voters: the members whose word counts.
        validators: the target of each validator; for one of the roster that is no member a deputy examines its target.
        submitters: the members that commit to a gradient, all but validators; `submitting` is the set of them.
        workers: the submitters whose gradients count: all but newcomers on probation; `working` is the set of them.
        owners: the workers that are no clients, in the order of the parts that they own, which r^{t-1} draws.
        part_of: the part of each owner.
        my_part: the part of this peer, None for one that owns none.
        partition: how a vector is cut into parts, one an owner.
        aggregation: how parts are aggregated in this step.
        tau: the clipping radius of a part, infinite where nothing is clipped.
        target: the peer that this one validates, None for one that is no validator.
        caps: how long messages may be, and how many.
    """

    def __init__(self, rules: StepRules, roster: Roster, number: int, members: tuple[PeerId, ...], me: PeerId) -> None:
        """Seat the members; the parts are drawn here."""
        self.rules: Final = rules
        self.roster: Final = roster
        self.number: Final = number
        self.members: Final = members
        self.me: Final = me
        here = members.index(me)
        self.others: Final = members[here + 1 :] + members[:here]
        self.attempt_id: Final = attempt_id_of(rules, roster, number, members)
        self.known: Final = frozenset(members)
        self.voters: Final = roster.voters & self.known
        audits = seat_audits(roster.randomness, roster.audits, self.known, self.voters)
        self.validators: Final = {audit.validator: audit.target for audit in audits}
        newcomers = roster.newcomers
        self.submitters: Final = tuple(peer for peer in members if peer not in self.validators)
        self.submitting: Final = frozenset(self.submitters)
        self.workers: Final = tuple(peer for peer in self.submitters if peer not in newcomers)
        self.working: Final = frozenset(self.workers)
        may_own = tuple(peer for peer in self.workers if peer not in roster.clients)
        self.owners: Final = tuple(ranking(roster.randomness, "owner", may_own))
        self.part_of: Final = {peer: part for part, peer in enumerate(self.owners)}
        self.my_part: Final = self.part_of.get(me)
        self.partition: Final = Partition(rules.dimension, max(1, len(self.owners)), rules.wire)
        self.aggregation: Final = rules.aggregation.at(roster.step, roster.randomness)
        self.tau: Final = part_tau(self.aggregation, self.partition.count)
        self.target: Final = self.validators.get(me)
        self.caps: Final[Caps] = caps_of(len(roster.members))

    @cached_property
    def draw_id(self) -> bytes:
        """The 32 bytes that shares and r^t are bound to: the attempt's id, unless the run repeats its draws in another
        incarnation."""
        if self.rules.incarnation is None or not self.rules.same_randomness:
            return self.attempt_id
        return attempt_id_of(self.rules.reborn(0), self.roster, self.number, self.members)

    @cached_property
    def equation(self) -> FixedPoint | None:
        """The equation that the aggregate of a part solves; None where rows have to be aggregated once more to know."""
        return part_equation(self.aggregation, self.partition.count)

    @cached_property
    def aggregate_limits(self) -> Thresholds:
        """The limits of what an aggregate may be off by (`aggregates.aggregate_excess`)."""
        return RECOMPUTED if self.equation is None else FIXED_POINT

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

    def is_majority(self, count: int) -> bool:
        """Whether so many voters are more than half of those in the attempt."""
        return 2 * count > len(self.voters)

    def most_have_sent(self, senders: Collection[PeerId]) -> bool:
        """Whether most voters are among those that have sent something, which neither liars nor newcomers can put off
        if all honest voters have."""
        return self.is_majority(len(self.voters.intersection(senders)))

    def most_submitters_have_sent(self, senders: Iterable[PeerId]) -> bool:
        """Whether the same holds of what validators do not send. They count as if they had: each may be honest, and
        without it half of the voters that do send may lie."""
        return self.most_have_sent(self.validators.keys() | set(senders))
