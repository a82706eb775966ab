"""The court: every member looks at what is accused, votes, and the majority of signed votes decides."""

from __future__ import annotations

from collections.abc import Mapping

from btard.identity import MessageKind, PeerId
from btard.round.actions import Action, Examine, Send
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.delivery.exchange import Exchange
from btard.round.messages.accusations import Ballot, Charge, ChargeKind, Opinion, Vote
from btard.round.messages.bodies import Item
from btard.round.phases.check import inspection
from btard.round.phases.measure import column_excess, row_excess
from btard.round.vectors.work import UNKNOWN, Finding, Inspected, opinion_on
from btard.verification.thresholds import FIXED_POINT, LENGTH, SCALARS, SUM

_SHOWN = frozenset({ChargeKind.FALSE_SCALARS, ChargeKind.NOT_FINITE, ChargeKind.TOO_LONG})
"""Charges about a row that the accuser holds and must show."""

_PAST = frozenset({ChargeKind.GRADIENT, ChargeKind.WITHHELD})
"""Charges about the step before, for which a vector has to be recomputed."""


class Court:
    """This peer's part in judging the charges of one failed attempt."""

    def __init__(
        self,
        context: StepContext,
        attempt: Attempt,
        exchange: Exchange,
        charges: Mapping[PeerId, Charge],
    ) -> None:
        self._context = context
        self._attempt = attempt
        self._seats = attempt.seats
        self._said = attempt.said
        self._carried = attempt.carried
        self._results = attempt.results
        self._exchange = exchange
        self.charges = charges
        self._found: dict[PeerId, Finding] = {}
        self._looking: set[Item] = set()
        self.voted = False

    def open(self) -> list[Action]:
        """Ask for what has to be looked at."""
        actions: list[Action] = []
        targets = set()
        for accuser, charge in self.charges.items():
            if charge.kind in _SHOWN:
                item = (MessageKind.PART, charge.accused, charge.part)
                if self._carried.holds(item) is None:
                    actions += self._exchange.pull(item, [accuser])
            elif charge.kind in _PAST:
                targets.add(charge.accused)
            else:
                self._found[accuser] = Finding(self._arithmetic(charge), False, 0.0)
        if self._context.previous is None:
            self._settle_unknown(targets)
        else:
            actions += [Examine(target) for target in sorted(targets)]
        return actions + self.advance()

    def seconds(self) -> float:
        """How long looking may take: a whole gradient has to be computed for some charges."""
        rules = self._seats.rules
        computing = any(charge.kind in _PAST for charge in self.charges.values())
        return rules.commit_seconds if computing else rules.scatter_seconds

    def advance(self) -> list[Action]:
        """Look at rows that have come."""
        actions: list[Action] = []
        for accuser, charge in self.charges.items():
            item = (MessageKind.PART, charge.accused, charge.part)
            if charge.kind not in _SHOWN or accuser in self._found or item in self._looking:
                continue
            if charge.accused == self._seats.me and charge.kind is not ChargeKind.FALSE_SCALARS:
                self._found[accuser] = Finding(Opinion.INNOCENT, False, 0.0)
            elif self._carried.holds(item) is not None:
                self._looking.add(item)
                actions.append(inspection(self._attempt, charge.accused, charge.part))
        return actions

    def inspected(self, author: PeerId, part: int, row: Inspected) -> None:
        """A row has been measured."""
        for accuser, charge in self.charges.items():
            if (charge.accused, charge.part) == (author, part) and charge.kind in _SHOWN:
                self._found[accuser] = Finding(self._judge_row(charge, row), False, 0.0)

    def examined(self, target: PeerId, finding: Finding) -> None:
        """A vector of the step before has been recomputed."""
        for accuser, charge in self.charges.items():
            if charge.kind in _PAST and charge.accused == target:
                self._found[accuser] = finding

    def _settle_unknown(self, targets: set[PeerId]) -> None:
        for target in targets:
            self.examined(target, UNKNOWN)

    def _judge_row(self, charge: Charge, row: Inspected) -> Opinion:
        attempt = self._attempt
        if charge.kind is ChargeKind.NOT_FINITE:
            return Opinion.INNOCENT if row.finite else Opinion.GUILTY
        if charge.kind is ChargeKind.TOO_LONG:
            return opinion_on(LENGTH, row.too_long)
        if not self._results.randomness or charge.accused not in self._said.scalars:
            return Opinion.UNSURE
        return opinion_on(SCALARS, row_excess(attempt, charge.accused, charge.part, (row.product, row.norm)))

    def _arithmetic(self, charge: Charge) -> Opinion:
        attempt, part = self._attempt, charge.part
        results = self._results
        if self._seats.owners[part] != charge.accused:
            return Opinion.INNOCENT
        if charge.kind is ChargeKind.WRONG_AGGREGATE:
            return opinion_on(FIXED_POINT, results.excess[part]) if part in results.excess else Opinion.UNSURE
        if not results.aggregate_norms or any(peer not in self._said.scalars for peer in self._seats.workers):
            return Opinion.UNSURE
        return opinion_on(SUM, column_excess(attempt, part))

    @property
    def decided(self) -> bool:
        """Whether everything has been looked at."""
        return len(self._found) == len(self.charges)

    def vote(self, *, misled: bool = False) -> list[Action]:
        """Sign and send what has been found; what has not is left undecided.

        So is all about this attempt when peers have computed on different numbers (`misled`): a vote is proof to people
        who hear of nothing else.
        """
        seats, context = self._seats, self._context
        self.voted = True
        ballots = []
        for accuser, charge in sorted(self.charges.items()):
            finding = self._found.get(accuser)
            undecided = finding is None or (misled and charge.kind not in _PAST)
            opinion = Opinion.UNSURE if finding is None or undecided else finding.opinion
            opinion = context.behaviour.opinion(context.number, charge, opinion)
            accomplices = () if finding is None or opinion is not Opinion.GUILTY else finding.accomplices
            ballots.append(Ballot(accuser, charge, opinion, accomplices))
        vote = Vote(seats.attempt_id, tuple(ballots))
        envelope = context.sign(seats.number, MessageKind.VOTE, vote.encode())
        self._said.note(envelope)
        return [Send(seats.others, envelope.encode())]
