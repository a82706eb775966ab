"""What stays the same through all attempts at a step, and how this peer signs what it says in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from btard.agreement.terms import Terms
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.actions import Action, Examine, Recall, Send
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.debts import NO_DEBTS, Debts
from btard.round.attempt.pace import Pace
from btard.round.attempt.pledges import NO_PLEDGES, Pledges
from btard.round.attempt.seats import Seats
from btard.round.decisions import Decisions
from btard.round.messages.bodies import Candidates, Commit, Digest, Reveal, Scalars
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.vectors.momentum import Link


@dataclass(frozen=True)
class StepContext:
    """What stays the same through a step's attempts.

    Attributes:
        parameters: digest of the training state x^t.
        candidates: newcomers that this peer would admit.
        previous: the attempt that finished the step before, if this peer took part in it; perhaps in an incarnation of
            the run that is over.
        links: what peers were last seen to submit before that, where the run has momentum.
        certificate: makes the message that proves the end of the step before; None if this peer did not see it.
        pace: how fast the members are.
        pledges: what the targets of this step committed to in failed attempts at the step before.
        debts: what the validators of the step before owe in this one.
    """

    rules: StepRules
    roster: Roster
    key: IdentityKey
    behaviour: Decisions
    parameters: bytes
    candidates: Candidates
    previous: Attempt | None
    pace: Pace
    links: Mapping[PeerId, Link] = field(default_factory=dict)
    certificate: Callable[[], bytes] | None = None
    pledges: Mapping[PeerId, Pledges] = field(default_factory=dict)
    debts: Debts = NO_DEBTS

    @property
    def number(self) -> int:
        """The global step."""
        return self.roster.step

    @property
    def settled_in(self) -> frozenset[PeerId]:
        """The members that took part in the step before; none in the first step, or as far as this peer has seen, or
        where the run has come back since: nobody knows how fast they are now."""
        previous = self.previous
        return frozenset() if previous is None or self.has_come_back else previous.seats.known

    @property
    def has_come_back(self) -> bool:
        """Whether the step before was finished in an incarnation of the run that is over."""
        return self.previous is not None and self.previous.seats.rules.run != self.rules.run

    @property
    def settled(self) -> bool:
        """Whether this peer took part in the step before, so that others expect it to be ready as soon as they are."""
        return self.key.peer_id in self.settled_in

    @property
    def others_stand_seconds(self) -> float:
        """For how many seconds the others may stand before they begin, without this peer's knowing why: they may have
        to agree on the end of the step before. 0 for a peer that took part in that, and in the first step of a run."""
        roster = self.roster
        if self.settled_in or not (roster.arrivals or roster.former or roster.absences):
            return 0.0
        return Terms(b"", roster.members, roster.voters, self.rules.delay_bound_seconds).most_seconds

    def seats(self, number: int, members: tuple[PeerId, ...]) -> Seats:
        """Return the seats in the attempt of this number and these members."""
        return Seats(self.rules, self.roster, number, members, self.key.peer_id)

    def examine(self, target: PeerId, accusers: tuple[PeerId, ...] = ()) -> Examine:
        """Return the action that examines what a peer submitted in the step before; a judge names its accusers. A
        validator, for which the others wait, waits itself for no answer so long that it would be late."""
        pledges = self.pledges.get(target, NO_PLEDGES)
        within = math.inf if accusers else min(self.pace.answer_within(), self.rules.showing_seconds)
        judges = tuple(sorted(self.roster.voters)) if self.has_come_back and not accusers else ()
        return Examine(self.number, target, self.previous, self.links.get(target), pledges, accusers, within, judges)

    def examine_through(self, target: PeerId, voters: Iterable[PeerId]) -> Examine:
        """Return the action of a validator whose target has shown it nothing: voters ask that one on its behalf, and
        may take as long as the target may, and as long again to pass it on."""
        relays = tuple(sorted(peer for peer in voters if peer not in (target, self.key.peer_id)))
        return replace(self.examine(target), accusers=relays, within_seconds=2 * self.rules.showing_seconds)

    def recall(self, target: PeerId, accuser: PeerId) -> Recall:
        """Return the action of a judge of what a target withholds."""
        return Recall(self.examine(target), accuser)

    def sign(self, attempt: int, kind: MessageKind, body: bytes) -> Envelope:
        """Return a signed message of this step."""
        return Envelope.sign(self.key, run=self.rules.run, step=self.roster.step, attempt=attempt, kind=kind, body=body)

    def publish(
        self, attempt: Attempt, kind: MessageKind, message: Commit | Reveal | Scalars | Digest | None
    ) -> list[Action]:
        """Sign a message, file it as sent, and return the action that sends it to the other members."""
        if message is None:
            return []
        envelope = self.sign(attempt.seats.number, kind, message.encode())
        attempt.file(envelope)
        return [Send(attempt.seats.others, envelope.encode())]
