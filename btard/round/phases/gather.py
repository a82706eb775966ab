"""Phase 3, gather: each owner aggregates its part, commits to the result, and sends the same bytes to everyone."""

from __future__ import annotations

from btard.hashing import digest
from btard.identity import MessageKind, PeerId
from btard.round.actions import Action, AggregateRows, SendPart
from btard.round.attempt.attempt import Attempt
from btard.round.messages.accusations import Charge, ChargeKind, Fault
from btard.round.messages.bodies import Aggregate, Item, Phase
from btard.round.phases.phase import StepContext
from btard.transport.base import Payload


class GatherPhase:
    """Aggregate the own part and send it; wait for the aggregates of all other owners."""

    phase = Phase.GATHER

    def __init__(self, step: StepContext, attempt: Attempt) -> None:
        self._step = step
        self._attempt = attempt

    def enter(self) -> list[Action]:
        """Ask for the aggregate of the rows, in roster order: the order fixes the last bits."""
        attempt = self._attempt
        if attempt.my_part is None:
            return []
        rows = tuple(attempt.rows[peer, attempt.my_part] for peer in attempt.workers)
        return [AggregateRows(attempt.number, rows, attempt.partition.count)]

    def offence(self, refused: tuple[int, ...], too_long: tuple[int, ...]) -> Charge | None:
        """Return whom to accuse of a row that nobody may send."""
        attempt = self._attempt
        for kind, positions in ((ChargeKind.NOT_FINITE, refused), (ChargeKind.TOO_LONG, too_long)):
            for position in positions:
                if attempt.workers[position] != attempt.me and attempt.my_part is not None:
                    return Charge(kind, attempt.workers[position], attempt.my_part)
        return None

    def aggregate_ready(self, payload: Payload) -> list[Action]:
        """Commit to the own aggregate and send it: the signed header carries the hash."""
        attempt, step = self._attempt, self._step
        assert attempt.my_part is not None
        sent = step.behaviour.aggregate(step.number, payload, attempt.view)
        aggregate = Aggregate(digest(sent))
        envelope = step.sign(attempt.number, MessageKind.AGGREGATE, aggregate.encode())
        attempt.note(envelope)
        attempt.aggregates[attempt.me] = aggregate
        own = attempt.partition.view(attempt.flat, attempt.my_part)
        own[:] = sent
        attempt.gathered.add(attempt.me)
        return [action for peer in attempt.others for action in send_aggregate(step, attempt, peer)]

    def busy(self) -> bool:
        """Whether the own aggregate is not ready."""
        return self._attempt.my_part is not None and self._attempt.me not in self._attempt.gathered

    def complete(self) -> bool:
        """Whether all aggregates are here."""
        return len(self._attempt.gathered) == len(self._attempt.owners)

    def wanted(self) -> list[Item]:
        """Return the aggregates that have not come."""
        attempt = self._attempt
        return [
            (MessageKind.AGGREGATE, owner, part)
            for part, owner in enumerate(attempt.owners)
            if owner not in attempt.gathered and owner != attempt.me
        ]

    def missing(self) -> dict[PeerId, Fault]:
        """Return whose aggregate has not come, or not whole."""
        broken = self._attempt.broken
        return {
            peer: Fault.BROKEN_AGGREGATE if (MessageKind.AGGREGATE, peer) in broken else Fault.NO_AGGREGATE
            for _, peer, _ in self.wanted()
        }

    def seconds(self) -> float:
        """How long the phase may take, aggregating included."""
        return self._attempt.rules.gather_seconds


def send_aggregate(step: StepContext, attempt: Attempt, receiver: PeerId) -> list[Action]:
    """Send the own aggregate to one peer."""
    assert attempt.my_part is not None
    own = attempt.partition.view(attempt.flat, attempt.my_part)
    data = step.behaviour.aggregate_for(step.number, receiver, own)
    if data is None:
        return []
    envelope, digest = attempt.signed[MessageKind.AGGREGATE, attempt.me], attempt.aggregates[attempt.me].digest
    announced = step.behaviour.aggregate_digest(step.number, receiver, digest)
    if announced != digest:
        envelope = step.sign(attempt.number, MessageKind.AGGREGATE, Aggregate(announced).encode())
    return [SendPart(receiver, envelope, data)]
