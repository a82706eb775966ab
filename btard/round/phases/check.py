"""Phase 6, check: witnesses look at owners' own parts, doubted parts are collected again (verification 3), and audited
ones, too."""

from __future__ import annotations

from collections import Counter

from btard.identity import MessageKind, PeerId
from btard.round.actions import Action, InspectRow
from btard.round.attempt.attempt import Attempt
from btard.round.delivery.exchange import Exchange
from btard.round.draw import draw_auditors, draw_witnessed, witness_of
from btard.round.messages.accusations import Charge, ChargeKind, Fault
from btard.round.messages.bodies import Phase
from btard.round.messages.requests import Item
from btard.round.phases.collection import Collection
from btard.round.phases.measure import row_excess
from btard.round.work.rows import Inspected
from btard.verification.scalars import plausible
from btard.verification.thresholds import SCALARS


class CheckPhase:
    """Do what r^t and the published numbers ask this peer to check; most have nothing to do.

    Nobody but its owner holds an owner's own row of its part, so a false product of its own could hide any aggregate.
    r^t draws owners that must show that row to a witness; so must owners whose own product is implausibly large.

    Where no sum proves an aggregate, r^t draws auditors of every part, each of which collects all rows and aggregates
    them once more.
    """

    phase = Phase.CHECK

    def __init__(self, attempt: Attempt, exchange: Exchange) -> None:
        self._attempt = attempt
        self._seats = attempt.seats
        self._said = attempt.said
        self._carried = attempt.carried
        self._results = attempt.results
        self._exchange = exchange
        rate = self._seats.rules.verification.validators
        drawn = set(draw_witnessed(self._results.randomness, self._seats.owners, rate))
        self.witnessed = [
            (owner, part)
            for part, owner in enumerate(self._seats.owners)
            if (owner in drawn or self._implausible(owner, part))
            and witness_of(self._results.randomness, owner, self._seats.voters) == self._seats.me
        ]
        self._collected = self._to_collect()
        self._collection = Collection(attempt, exchange)
        self._looked_at: set[Item] = set()
        self._inspecting: set[Item] = set()
        self._charge: Charge | None = None

    def _to_collect(self) -> list[int]:
        """Return the parts whose rows this peer collects: those that more than half of the workers doubt, and those
        that r^t lets it audit."""
        seats, exchange = self._seats, self._exchange
        doubts = Counter(part for peer in seats.workers for part in self._said.scalars[peer].doubts)
        doubted = {part for part, count in doubts.items() if 2 * count > len(seats.workers)}
        for part in doubted:
            exchange.collects(part, seats.members)
        auditors = draw_auditors(self._results.randomness, seats.owners, seats.voters, seats.auditors)
        for part, peers in enumerate(auditors):
            exchange.collects(part, peers)
        audited = {part for part, peers in enumerate(auditors) if seats.me in peers}
        return sorted(doubted | audited)

    def _implausible(self, owner: PeerId, part: int) -> bool:
        scalars = self._said.scalars[owner]
        return not plausible(scalars.products[part], scalars.norms[part], self._seats.tau)

    def enter(self) -> list[Action]:
        """Ask for the rows to look at."""
        actions = self._collection.ask(self._collected)
        for _, author, part in self.wanted():
            actions += self._exchange.pull((MessageKind.PART, author, part), [author])
        return actions + self.advance()

    def advance(self) -> list[Action]:
        """Look at what has come."""
        actions: list[Action] = []
        for owner, part in self.witnessed:
            item = (MessageKind.PART, owner, part)
            if (owner, part) in self._carried.rows and item not in self._looked_at:
                self._looked_at.add(item)
                self._inspecting.add(item)
                actions.append(inspection(self._attempt, owner, part))
        return actions + self._collection.advance()

    def inspected(self, owner: PeerId, part: int, row: Inspected) -> None:
        """An owner's own row has been measured."""
        self._inspecting.discard((MessageKind.PART, owner, part))
        if SCALARS.accuses(row_excess(self._attempt, owner, part, (row.product, row.norm))):
            self._charge = self._charge or Charge(ChargeKind.FALSE_SCALARS, owner, part)

    def compared(self, part: int, excess: float) -> None:
        """A part has been compared with its rows; `excess` is how many times its tolerance it is off."""
        self._collection.compared(part, excess)
        owner = self._seats.owners[part]
        if self._seats.aggregate_limits.accuses(excess) and owner != self._seats.me:
            self._charge = self._charge or Charge(ChargeKind.WRONG_AGGREGATE, owner, part)

    def wanted(self) -> list[Item]:
        """Return the rows that have not come."""
        rows = self._carried.rows
        shown = [(MessageKind.PART, owner, part) for owner, part in self.witnessed if (owner, part) not in rows]
        return shown + [item for item in self._collection.wanted() if item not in shown]

    def busy(self) -> bool:
        """Whether rows are being looked at."""
        return bool(self._inspecting) or self._collection.busy

    def complete(self) -> bool:
        """Whether everything to check has been checked."""
        return not self._inspecting and self._collection.complete and not self.wanted()

    def halfway(self) -> bool:
        """Only few members have something to show: never."""
        return False

    def missing(self) -> dict[PeerId, Fault]:
        """Return the owners that do not show their row."""
        return {peer: Fault.NO_EXHIBIT for _, peer, _ in self.wanted()}

    def charge(self) -> Charge | None:
        """Return the accusation, if there is one."""
        return self._charge

    def seconds(self) -> float:
        """How long the phase may take."""
        return self._seats.check_seconds


def inspection(attempt: Attempt, author: PeerId, part: int) -> InspectRow:
    """Return the action that measures one row of a part."""
    seats = attempt.seats
    return InspectRow(
        seats.number,
        attempt.results.randomness,
        seats.partition,
        seats.tau,
        author,
        part,
        attempt.carried.rows[author, part],
        attempt.carried.flat,
    )
