"""The court: every member looks at what is accused, votes, and the majority of signed votes decides."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from btard.identity import Envelope, MessageKind, PeerId
from btard.round.actions import Action, CheckOpening
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.delivery.exchange import Exchange
from btard.round.failure.stories import differing
from btard.round.failure.told import fitting
from btard.round.messages.accusations import Ballot, Charge, ChargeKind, Opinion, Vote
from btard.round.messages.bodies import Phase
from btard.round.messages.requests import Item
from btard.round.phases.check import inspection
from btard.round.phases.collection import Collection
from btard.round.phases.measure import column_excess, row_excess
from btard.round.work.answers import OpeningChecked, Recalled
from btard.round.work.examination import UNKNOWN, Finding, opinion_on
from btard.round.work.rows import Inspected
from btard.verification.thresholds import LENGTH, SCALARS, SUM

_ASKED = 2
"""Accusers that a judge asks for what a target has shown them, its validator first: each may send a whole vector."""


class Court:
    """This peer's part in judging the charges of one failed attempt.

    Attributes:
        charges: by accuser.
        followed: whether this judge has come as far in the attempt as the accusers were: what it has not seen by then,
            it cannot see.
    """

    def __init__(
        self,
        context: StepContext,
        attempt: Attempt,
        exchange: Exchange,
        charges: Mapping[PeerId, Charge],
        phases: Mapping[PeerId, Phase],
        lists: Mapping[PeerId, bytes],
        informed: bool = True,
    ) -> None:
        """Begin to judge.

        Args:
            charges: by accuser.
            phases: how far each member was.
            lists: what members were told, by those that say so.
            informed: whether this peer has given all members the numbers of a sum that is off, long enough ago.
        """
        self._context = context
        self._attempt = attempt
        self._seats = attempt.seats
        self._said = attempt.said
        self._carried = attempt.carried
        self._results = attempt.results
        self._exchange = exchange
        self.charges = charges
        self._phases = phases
        self._lists = lists
        self._informed = informed
        self._versions: dict[tuple[MessageKind, PeerId], PeerId] = {}
        self.followed = all(charge.kind.about_last_step for charge in charges.values())
        self._opinions: dict[PeerId, Opinion] = {}
        self._accomplices: dict[PeerId, tuple[PeerId, ...]] = {}
        self._looking: set[Item] = set()
        self._rechecked: set[PeerId] = set()
        self._collecting: set[int] = set()
        self._collection = Collection(attempt, exchange)
        self.urges_at = math.inf

    def open(self, now: float) -> list[Action]:
        """Ask for what has to be looked at."""
        actions: list[Action] = []
        targets: dict[PeerId, list[PeerId]] = defaultdict(list)
        for accuser, charge in self.charges.items():
            if charge.kind.needs_exhibit:
                item = (MessageKind.PART, charge.accused, charge.part)
                if self._carried.holds(item) is None:
                    actions += self._exchange.pull(item, [accuser])
            elif charge.kind is ChargeKind.WITHHELD:
                actions += self._recall(accuser, charge.accused)
            elif charge.kind.about_last_step:
                targets[charge.accused].append(accuser)
        for teller, told in self._lists.items():
            for kind, author in differing(self._attempt, told) if teller != self._seats.me else ():
                self._versions[kind, author] = teller
                actions += self._exchange.pull_version((kind, author, 0), teller)
        if self._context.previous is None:
            self._settle_unknown(targets)
        else:
            for target, by in sorted(targets.items()):
                by.sort(key=lambda accuser: self._seats.validators.get(accuser) != target)
                actions.append(self._context.examine(target, tuple(by[:_ASKED])))
        return actions + self.advance(now)

    def _recall(self, accuser: PeerId, target: PeerId) -> list[Action]:
        """Say whether a target withholds what its validator says; that one knows."""
        if accuser == self._seats.me:
            self._opinions[accuser] = Opinion.GUILTY
        elif target == self._seats.me:
            self._opinions[accuser] = Opinion.INNOCENT
        elif self._context.previous is None:
            self._opinions[accuser] = Opinion.UNSURE
        else:
            return [self._context.recall(target, accuser)]
        return []

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
        computing = any(charge.kind.recomputes for charge in self.charges.values())
        collecting = any(self._is_about_rows(charge) for charge in self.charges.values())
        looking = self._seats.check_seconds if collecting else rules.scatter_seconds
        looking = max(looking, 2 * rules.delay_bound_seconds)
        return max(rules.commit_seconds, looking) if computing else looking

    def advance(self, now: float) -> list[Action]:
        """Look at rows that have come, and ask all members for those that are late: somebody holds them."""
        actions: list[Action] = []
        for accuser, charge in self.charges.items():
            if charge.part not in self._collecting and self._must_aggregate(charge):
                self._collecting.add(charge.part)
                actions += self._collect(now, accuser, charge)
        actions += self._collection.advance()
        if now >= self.urges_at:
            self.urges_at = math.inf
            actions += self._exchange.urge(now, self._collection.wanted(), everyone=True)
        for accuser, charge in self.charges.items():
            item = (MessageKind.PART, charge.accused, charge.part)
            if accuser in self._opinions:
                continue
            if charge.kind.about_opening:
                actions += self._look_at_opening(accuser, charge)
            elif not charge.kind.needs_exhibit:
                self._calculate(accuser, charge)
            elif item in self._looking or (
                charge.kind is ChargeKind.FALSE_SCALARS and not self._has_scalars(charge.accused)
            ):
                continue
            elif charge.accused == self._seats.me and charge.kind is not ChargeKind.FALSE_SCALARS:
                self._opinions[accuser] = Opinion.INNOCENT
            elif self._carried.holds(item) is not None:
                self._looking.add(item)
                actions.append(inspection(self._attempt, charge.accused, charge.part))
        return actions

    def _calculate(self, accuser: PeerId, charge: Charge) -> None:
        """Judge what arithmetic on this attempt decides, once the numbers are there."""
        if charge.kind.about_last_step:
            return
        if self._is_known(charge) or (self.followed and not self._is_about_rows(charge)):
            self._opinions[accuser] = self._arithmetic(charge)

    def _is_known(self, charge: Charge) -> bool:
        results, part = self._results, charge.part
        if self._seats.owners[part] != charge.accused:
            return True
        if charge.kind is ChargeKind.WRONG_AGGREGATE:
            return part in results.excess
        return bool(results.aggregate_norms) and all(map(self._has_scalars, self._seats.workers))

    def _has_scalars(self, peer: PeerId) -> bool:
        return bool(self._results.randomness) and peer in self._said.scalars

    @property
    def furthest(self) -> Phase:
        """How far in the attempt a judge has to be to see what the accusers have seen."""
        return min(Phase.CHECK, max(map(self._seen_in, self.charges), default=Phase.COMMIT))

    def _seen_in(self, accuser: PeerId) -> Phase:
        """How far in the attempt an accuser was when it saw what it accuses of."""
        kind = self.charges[accuser].kind
        if kind is ChargeKind.WRONG_SUM:
            return Phase.MEASURE
        return Phase.COMMIT if kind.about_last_step or kind.about_opening else self._phases[accuser]

    def _look_at_opening(self, accuser: PeerId, charge: Charge) -> list[Action]:
        """Judge a validator that owes its accuser an opening: by recomputing, where it gives one."""
        debts, commit = self._context.debts, self._said.commits.get(charge.accused)
        debt, false = debts.between(charge.accused, accuser), charge.kind is ChargeKind.FALSE_OPENING
        if debt is None:
            self._opinions[accuser] = Opinion.INNOCENT if debts.known else Opinion.UNSURE
        elif commit is None:
            return []
        elif not debt.is_paid_by(commit.opening):
            self._opinions[accuser] = Opinion.UNSURE if false else Opinion.GUILTY
        elif not false:
            self._opinions[accuser] = Opinion.INNOCENT
        elif commit.opening is not None and charge.accused not in self._rechecked:
            self._rechecked.add(charge.accused)
            return [CheckOpening(self._context.number, debt, commit.opening)]
        return []

    def answered(self, answer: OpeningChecked | Recalled) -> None:
        """What a validator opens has been compared with an own recomputation; or this peer says what a target has shown
        it on an accuser's behalf."""
        match answer:
            case OpeningChecked(_, accused, opinion):
                accusers = [a for a, c in self.charges.items() if c == Charge(ChargeKind.FALSE_OPENING, accused, 0)]
            case Recalled(_, accuser, accused, opinion):
                charged = self.charges.get(accuser) == Charge(ChargeKind.WITHHELD, accused, 0)
                accusers = [accuser] if charged else []
        for accuser in accusers:
            self._opinions.setdefault(accuser, opinion)

    def inspected(self, author: PeerId, part: int, row: Inspected) -> None:
        """A row has been measured."""
        for accuser, charge in self.charges.items():
            if (charge.accused, charge.part) == (author, part) and charge.kind.needs_exhibit:
                self._opinions[accuser] = self._judge_row(charge, row)

    def compared(self, part: int, excess: float) -> None:
        """A part has been compared with its rows."""
        self._collection.compared(part, excess)
        for accuser, charge in self.charges.items():
            if charge.kind is ChargeKind.WRONG_AGGREGATE and charge.part == part:
                self._opinions[accuser] = self._arithmetic(charge)

    def examined(self, target: PeerId, finding: Finding) -> None:
        """A vector of the step before has been recomputed."""
        for accuser, charge in self.charges.items():
            if charge.kind is ChargeKind.GRADIENT and charge.accused == target:
                self._opinions[accuser] = finding.opinion
                self._accomplices[accuser] = finding.accomplices

    def _settle_unknown(self, targets: Iterable[PeerId]) -> None:
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
            limits = self._seats.aggregate_limits
            if part in results.excess:
                return opinion_on(limits, results.excess[part])
            # A judge that has come as far knows that nobody had to collect this part: no honest peer accuses of it.
            return Opinion.INNOCENT if self.followed and self._seats.equation is not None else Opinion.UNSURE
        if not results.aggregate_norms or any(peer not in self._said.scalars for peer in self._seats.workers):
            return Opinion.UNSURE
        found = opinion_on(SUM, column_excess(attempt, part))
        # An owner that stands in MEASURE may lack the number that spoils its sum, if nobody has given it that.
        unheard = not self._informed and self._phases.get(charge.accused, Phase.COMMIT) <= Phase.MEASURE
        return Opinion.UNSURE if unheard and found is Opinion.GUILTY else found

    @property
    def decided(self) -> bool:
        """Whether everything has been looked at, and every other version of what this peer was told has been shown."""
        known = self._said.contradictions
        return len(self._opinions) == len(self.charges) and all(author in known for _, author in self._versions)

    def vote(self, *, misled: bool = False) -> Envelope:
        """Sign what has been found; what has not is left undecided.

        So is all about this attempt when peers have computed on different numbers (`misled`): a vote is proof to people
        who hear of nothing else.
        """
        seats, context = self._seats, self._context
        ballots, unlike = [], set(self._versions.values())
        for accuser, charge in sorted(self.charges.items()):
            opinion = self._opinions.get(accuser, Opinion.UNSURE)
            if (misled or accuser in unlike) and not charge.kind.about_last_step:
                opinion = Opinion.UNSURE
            opinion = context.behaviour.opinion(context.number, charge, opinion)
            accomplices = self._accomplices.get(accuser, ()) if opinion is Opinion.GUILTY else ()
            ballots.append(Ballot(accuser, charge, opinion, accomplices))
        own = (self._said.signed[place] for place in self._versions if place[1] not in self._said.contradictions)
        shown = (*self._said.contradicting, *own)
        alike = tuple(sorted(self._lists.keys() - unlike))
        attached = fitting(self._attempt, shown, seats.caps.body[MessageKind.VOTE] // 2)
        vote = Vote(seats.attempt_id, tuple(ballots), attached, alike)
        envelope = context.sign(seats.number, MessageKind.VOTE, vote.encode())
        self._said.note(envelope)
        return envelope
