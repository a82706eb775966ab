"""The court: every member looks at what is accused, votes, and the majority of signed votes decides."""

from __future__ import annotations

import math
from collections.abc import Mapping

from btard.identity import MessageKind, PeerId
from btard.round.actions import Action, Send
from btard.round.aggregates import aggregate_limits
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.delivery.exchange import Exchange
from btard.round.messages.accusations import Ballot, Charge, ChargeKind, Opinion, Vote
from btard.round.messages.bodies import Item
from btard.round.phases.check import inspection
from btard.round.phases.collection import Collection
from btard.round.phases.measure import column_excess, row_excess
from btard.round.work.examination import UNKNOWN, Finding, opinion_on
from btard.round.work.rows import Inspected
from btard.verification.thresholds import LENGTH, SCALARS, SUM


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
        self._collection = Collection(attempt, exchange)
        self.urges_at = math.inf

    def open(self, now: float) -> list[Action]:
        """Ask for what has to be looked at."""
        actions: list[Action] = []
        targets = set()
        for accuser, charge in self.charges.items():
            if charge.kind.needs_exhibit:
                item = (MessageKind.PART, charge.accused, charge.part)
                if self._carried.holds(item) is None:
                    actions += self._exchange.pull(item, [accuser])
            elif charge.kind.about_last_step:
                targets.add(charge.accused)
            elif self._must_aggregate(charge):
                actions += self._collect(now, accuser, charge)
            else:
                self._found[accuser] = Finding(self._arithmetic(charge), False, 0.0)
        if self._context.previous is None:
            self._settle_unknown(targets)
        else:
            actions += [self._context.examine(target) for target in sorted(targets)]
        return actions + self.advance(now)

    def _must_aggregate(self, charge: Charge) -> bool:
        """Whether the rows of a part have to be aggregated once more to judge a charge."""
        owned = self._seats.owners[charge.part] == charge.accused
        known = charge.part in self._results.excess or charge.accused not in self._carried.gathered
        return self._is_about_rows(charge) and owned and not known

    def _is_about_rows(self, charge: Charge) -> bool:
        return charge.kind is ChargeKind.WRONG_AGGREGATE and self._seats.equation is None

    def _collect(self, now: float, accuser: PeerId, charge: Charge) -> list[Action]:
        """Ask for the rows of a part: each of its author, and the accused owner's of the accuser, too."""
        exchange, own = self._exchange, (MessageKind.PART, charge.accused, charge.part)
        exchange.collects(charge.part, self._seats.members)
        self.urges_at = now + self.seconds() / 2
        actions = self._collection.ask([charge.part])
        return actions + (exchange.pull(own, [accuser]) if self._carried.holds(own) is None else [])

    def seconds(self) -> float:
        """How long looking may take: a whole gradient is computed for some charges, and all
        rows of a part are collected for others."""
        rules = self._seats.rules
        computing = any(charge.kind.about_last_step for charge in self.charges.values())
        collecting = any(self._is_about_rows(charge) for charge in self.charges.values())
        looking = self._seats.check_seconds if collecting else rules.scatter_seconds
        return max(rules.commit_seconds, looking) if computing else looking

    def advance(self, now: float) -> list[Action]:
        """Look at rows that have come, and ask all members for those that are late: somebody holds them."""
        actions = self._collection.advance()
        if now >= self.urges_at:
            self.urges_at = math.inf
            actions += self._exchange.urge(now, self._collection.wanted(), everyone=True)
        for accuser, charge in self.charges.items():
            item = (MessageKind.PART, charge.accused, charge.part)
            if not charge.kind.needs_exhibit or accuser in self._found or item in self._looking:
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
            if (charge.accused, charge.part) == (author, part) and charge.kind.needs_exhibit:
                self._found[accuser] = Finding(self._judge_row(charge, row), False, 0.0)

    def aggregated_again(self, part: int, excess: float) -> None:
        """A part has been compared with its rows."""
        self._collection.compared(part, excess)
        for accuser, charge in self.charges.items():
            if charge.kind is ChargeKind.WRONG_AGGREGATE and charge.part == part:
                self._found[accuser] = Finding(self._arithmetic(charge), False, 0.0)

    def examined(self, target: PeerId, finding: Finding) -> None:
        """A vector of the step before has been recomputed."""
        for accuser, charge in self.charges.items():
            if charge.kind.about_last_step and charge.accused == target:
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
            limits = aggregate_limits(self._seats.rules.aggregation)
            return opinion_on(limits, results.excess[part]) if part in results.excess else Opinion.UNSURE
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
        ballots = []
        for accuser, charge in sorted(self.charges.items()):
            finding = self._found.get(accuser)
            undecided = finding is None or (misled and not charge.kind.about_last_step)
            opinion = Opinion.UNSURE if finding is None or undecided else finding.opinion
            opinion = context.behaviour.opinion(context.number, charge, opinion)
            accomplices = () if finding is None or opinion is not Opinion.GUILTY else finding.accomplices
            ballots.append(Ballot(accuser, charge, opinion, accomplices))
        vote = Vote(seats.attempt_id, tuple(ballots))
        envelope = context.sign(seats.number, MessageKind.VOTE, vote.encode())
        self._said.note(envelope)
        return [Send(seats.others, envelope.encode())]
