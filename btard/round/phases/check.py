"""Phase 6, check: witnesses look at owners' own parts, and doubted parts are collected again (verification 3)."""

from __future__ import annotations

from collections import Counter

from btard.identity import MessageKind, PeerId
from btard.round.actions import Action, AggregateAgain, InspectRow
from btard.round.attempt.attempt import Attempt
from btard.round.delivery.exchange import Exchange
from btard.round.draw import draw_witnessed, witness_of
from btard.round.messages.accusations import Charge, ChargeKind, Fault
from btard.round.messages.bodies import Item, Phase
from btard.round.phases.measure import row_excess
from btard.verification.scalars import plausible
from btard.verification.thresholds import FIXED_POINT, SCALARS


class CheckPhase:
    """Do what r^t and the published numbers ask this peer to check; most have nothing to do.

    Nobody but its owner holds an owner's own row of its part, so a false product of its own could hide any aggregate.
    r^t draws owners that must show that row to a witness; so must owners whose own product is implausibly large.
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
        doubts = Counter(part for peer in self._seats.workers for part in self._said.scalars[peer].doubts)
        self.doubted = [part for part, count in sorted(doubts.items()) if 2 * count > len(self._seats.workers)]
        exchange.collected.update(self.doubted)
        self._looked_at: set[Item] = set()
        self._inspecting: set[Item] = set()
        self._todo: set[int] = set(self.doubted)
        self._started: set[int] = set()
        self._charge: Charge | None = None

    def _implausible(self, owner: PeerId, part: int) -> bool:
        scalars = self._said.scalars[owner]
        return not plausible(scalars.products[part], scalars.norms[part], self._seats.tau)

    def enter(self) -> list[Action]:
        """Ask for the rows to look at."""
        actions: list[Action] = []
        for _, author, part in self.wanted():
            item = (MessageKind.PART, author, part)
            actions += self._exchange.pull(item, [author])
        return actions + self.advance()

    def advance(self) -> list[Action]:
        """Look at what has come."""
        seats, carried = self._seats, self._carried
        attempt = self._attempt
        actions: list[Action] = []
        for owner, part in self.witnessed:
            item = (MessageKind.PART, owner, part)
            row = carried.rows.get((owner, part))
            if row is not None and item not in self._looked_at:
                self._looked_at.add(item)
                self._inspecting.add(item)
                actions.append(inspection(attempt, owner, part))
        for part in sorted(self._todo - self._started):
            rows = [carried.rows.get((peer, part)) for peer in seats.workers]
            complete = tuple(row for row in rows if row is not None)
            if len(complete) == len(rows):
                self._started.add(part)
                actions.append(AggregateAgain(seats.number, seats.partition, seats.tau, part, complete, carried.flat))
        return actions

    def inspected(self, owner: PeerId, part: int, true: tuple[float, float]) -> None:
        """An owner's own row has been measured."""
        self._inspecting.discard((MessageKind.PART, owner, part))
        if SCALARS.accuses(row_excess(self._attempt, owner, part, true)):
            self._charge = self._charge or Charge(ChargeKind.FALSE_SCALARS, owner, part)

    def aggregated_again(self, part: int, excess: float) -> None:
        """A doubted part has been compared with its rows; `excess` is how often the tolerance its imbalance is."""
        self._todo.discard(part)
        self._results.excess[part] = excess
        owner = self._seats.owners[part]
        if FIXED_POINT.accuses(excess) and owner != self._seats.me:
            self._charge = self._charge or Charge(ChargeKind.WRONG_AGGREGATE, owner, part)

    def wanted(self) -> list[Item]:
        """Return the rows that have not come."""
        needed = [(owner, part) for owner, part in self.witnessed]
        needed += [(peer, part) for part in self.doubted for peer in self._seats.workers]
        return [(MessageKind.PART, peer, part) for peer, part in needed if (peer, part) not in self._carried.rows]

    def busy(self) -> bool:
        """Whether rows are being looked at."""
        return bool(self._inspecting) or bool(self._todo & self._started)

    def complete(self) -> bool:
        """Whether everything to check has been checked."""
        return not self.wanted() and not self._inspecting and not self._todo

    def missing(self) -> dict[PeerId, Fault]:
        """Return who does not show its row."""
        return {peer: Fault.NO_EXHIBIT for _, peer, _ in self.wanted()}

    def charge(self) -> Charge | None:
        """Return whom to accuse."""
        return self._charge

    def seconds(self) -> float:
        """How long the phase may take."""
        return self._seats.rules.scatter_seconds


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
