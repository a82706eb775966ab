"""What finished steps leave to the next one: all that its validators, its targets and its court look back at."""

from __future__ import annotations

import torch

from btard.identity import PeerId
from btard.round.actions import Finished
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.debts import NO_DEBTS, Debts, owed_after
from btard.round.attempt.minutes import Minutes
from btard.round.attempt.pledges import Pledges, pledges_of
from btard.round.rules import StepRules
from btard.round.step import StepMachine
from btard.vectors.momentum import Link


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

    def finished(self, machine: StepMachine, result: Finished) -> None:
        """A step has finished: keep what the next one's validators and court need, and let go of the one before."""
        if self.previous is not None:
            self.previous.carried.release()
        self._keep_debts(machine, result)
        self.previous = machine.attempt
        self._keep_links(self.previous)
        self.pledges = _pledged(machine, result)
        self.previous.carried.release_rows()

    def _keep_debts(self, machine: StepMachine, result: Finished) -> None:
        """Note what the validators of a step that has finished owe in the next one, and the vector that this peer has
        part in: recomputed as a validator, or sent as the target of one.
        """
        record, drawn = self.previous, result.roster.validators.values()
        self.debts = NO_DEBTS
        if (
            record is not None
            and record.seats.roster.step == result.step - 1
            and record.seats.rules.run == self._rules.run
        ):
            target = machine.attempt.seats.target
            vector = self._sent if target is None else machine.own.vector_of(target)
            self.debts = owed_after(record, machine.attempt, vector)
        self._sent = machine.own.submitted if self._me in drawn else None

    def _keep_links(self, previous: Attempt) -> None:
        """Remember what everyone submitted, which the next vectors are built on, and what that was built on."""
        if not self._rules.verification.momentum:
            return
        self.links = {peer: link for peer, link in self._next_links.items() if peer in previous.seats.known}
        self._next_links = self.links | {
            peer: Link(previous.seats.partition.count, previous.said.commits[peer].parts)
            for peer in previous.seats.submitters
        }


def _pledged(machine: StepMachine, result: Finished) -> dict[PeerId, Pledges]:
    """Return what the next step's targets committed to in the attempts before the one that finished: of a later one
    those know nothing that had finished before it."""
    settled = (one for number, one in machine.settled.items() if number < result.attempt)
    failed = [one.attempt for one in settled if one.resolution is not None and one.resolution.redraw]
    return {target: pledges_of(failed, target) for target in result.roster.validators.values()}
