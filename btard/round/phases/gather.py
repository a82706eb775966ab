"""Phase 3, gather: each owner aggregates its part, commits to the result, and sends the same bytes to everyone."""

from __future__ import annotations

from btard.hashing import Payload, digest
from btard.identity import MessageKind, PeerId
from btard.round.actions import Action, AggregateRows
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.delivery.sending import send_aggregate
from btard.round.messages.accusations import Charge, ChargeKind, Fault
from btard.round.messages.bodies import Aggregate, Phase
from btard.round.messages.requests import Item


class GatherPhase:
    """Aggregate the own part and send it; wait for the aggregates of all other owners."""

    phase = Phase.GATHER

    def __init__(self, context: StepContext, attempt: Attempt) -> None:
        self._context = context
        self._attempt = attempt
        self._seats = attempt.seats
        self._carried = attempt.carried

    def enter(self) -> list[Action]:
        """Ask for the aggregate of the rows, in roster order: the order fixes the last bits."""
        seats = self._seats
        if seats.my_part is None:
            return []
        rows = tuple(self._carried.rows[peer, seats.my_part] for peer in seats.workers)
        return [AggregateRows(seats.number, seats.aggregation, rows, seats.partition.count)]

    def offence(self, refused: tuple[int, ...], too_long: tuple[int, ...]) -> Charge | None:
        """Return the accusation of a row that nobody may send."""
        seats = self._seats
        for kind, positions in ((ChargeKind.NOT_FINITE, refused), (ChargeKind.TOO_LONG, too_long)):
            for position in positions:
                if seats.workers[position] != seats.me and seats.my_part is not None:
                    return Charge(kind, seats.workers[position], seats.my_part)
        return None

    def aggregate_ready(self, payload: Payload) -> list[Action]:
        """Commit to the own aggregate and send it: the signed header carries the hash."""
        attempt, context, seats = self._attempt, self._context, self._seats
        sent = context.behaviour.aggregate(context.number, payload, attempt.view)
        envelope = context.sign(seats.number, MessageKind.AGGREGATE, Aggregate(digest(sent)).encode())
        attempt.keep_aggregate(envelope, sent)
        return [action for peer in seats.others for action in send_aggregate(context, attempt, peer)]

    def busy(self) -> bool:
        """Whether the own aggregate is not ready."""
        return self._seats.my_part is not None and self._seats.me not in self._carried.gathered

    def complete(self) -> bool:
        """Whether all aggregates are here."""
        return len(self._carried.gathered) == len(self._seats.owners)

    def halfway(self) -> bool:
        """Whether most aggregates are here."""
        return self._seats.most_submitters_have_sent(self._carried.gathered)

    def wanted(self) -> list[Item]:
        """Return the aggregates that have not come."""
        return [
            (MessageKind.AGGREGATE, owner, part)
            for part, owner in enumerate(self._seats.owners)
            if owner not in self._carried.gathered and owner != self._seats.me
        ]

    def missing(self) -> dict[PeerId, Fault]:
        """Return whose aggregate has not come, or not whole."""
        broken = self._carried.broken
        return {
            peer: Fault.BROKEN_AGGREGATE if (MessageKind.AGGREGATE, peer) in broken else Fault.NO_AGGREGATE
            for _, peer, _ in self.wanted()
        }

    def seconds(self) -> float:
        """How long the phase may take, aggregating included."""
        return self._seats.rules.gather_seconds
