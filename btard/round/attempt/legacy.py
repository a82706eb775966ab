"""What finished steps leave to the next one: all that its validators, its targets and its court look back at."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import torch

from btard.identity import PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.debts import NO_DEBTS, Debts, owed_after
from btard.round.attempt.minutes import Minutes
from btard.round.attempt.pledges import Pledges, pledges_of
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.vectors.momentum import Link


@dataclass(frozen=True)
class Own:
    """One peer's part in a step that has finished.

    Attributes:
        recomputed: its target's vector of the step before, float32 of shape (d,); None for no validator.
        submitted: what it had to submit, float32 of shape (d,).
    """

    recomputed: torch.Tensor | None = field(repr=False, compare=False)
    submitted: torch.Tensor | None = field(repr=False, compare=False)


class Legacy:
    """What one peer keeps of the steps that it has taken part in.

    Attributes:
        previous: the attempt that finished the step before; None if this peer does not know.
        links: what peers were last seen to submit before that, where the run has momentum.
        pledges: what the targets of this step committed to in failed attempts at the step before.
        debts: what the validators of the step before owe in this one.
    """

    def __init__(self, rules: StepRules, me: PeerId) -> None:
        """Begin with nothing."""
        self._rules = rules
        self._me = me
        self.forget()

    def forget(self) -> None:
        """Begin anew: this peer is in no step."""
        self.previous: Attempt | None = None
        self.links: dict[PeerId, Link] = {}
        self._next_links: dict[PeerId, Link] = {}
        self.pledges: dict[PeerId, Pledges] = {}
        self.debts: Debts = NO_DEBTS
        self._sent: torch.Tensor | None = None

    def take_over(self, minutes: Minutes) -> None:
        """Go on in another incarnation, with what an earlier one has left to the step that begins.

        What has to be shown or opened is not among it: a peer that was started again may not have it.
        """
        self.previous, self.links = minutes.attempt, dict(minutes.links)

    def minutes(self, step: int) -> Minutes | None:
        """Return what the audits of the step before a step look at, None if this peer does not know."""
        previous = self.before(step)
        return None if previous is None else Minutes(previous, dict(self.links))

    def before(self, step: int) -> Attempt | None:
        """Return the attempt that finished the step before a step, if this peer knows it."""
        previous = self.previous
        return previous if previous is not None and previous.seats.roster.step == step - 1 else None

    def finished(self, attempt: Attempt, following: Roster, own: Own, failed: Collection[Attempt]) -> None:
        """A step has finished: keep what the next one's validators and court need, and let go of the one before.

        Args:
            attempt: the one that finished it.
            own: this peer's part in it.
            failed: attempts at the step before that one, after which r^t may have been known.
        """
        if self.previous is not None:
            self.previous.carried.release()
        self._keep_debts(attempt, own, following)
        self.previous = attempt
        self._keep_links(attempt)
        self.pledges = {target: pledges_of(failed, target) for target in following.validators.values()}
        attempt.carried.release_rows()

    def _keep_debts(self, attempt: Attempt, own: Own, following: Roster) -> None:
        """Note what the validators of a step that has finished owe in the next one, and the vector that this peer has
        part in: recomputed as a validator, or sent as the target of one. Nothing is owed about another incarnation."""
        record, seats = self.before(attempt.seats.roster.step), attempt.seats
        self.debts = NO_DEBTS
        if record is not None and record.seats.rules.run == self._rules.run:
            vector = self._sent if seats.target is None else own.recomputed
            self.debts = owed_after(record, attempt, vector)
        self._sent = own.submitted if self._me in following.validators.values() else None

    def _keep_links(self, previous: Attempt) -> None:
        """Remember what everyone submitted, which the next vectors are built on, and what that was built on."""
        if not self._rules.verification.momentum:
            return
        self.links = {peer: link for peer, link in self._next_links.items() if peer in previous.seats.known}
        self._next_links = self.links | {
            peer: Link(previous.seats.partition.count, previous.said.commits[peer].parts)
            for peer in previous.seats.submitters
        }
