"""Phase 3, gather: each owner aggregates its part, commits to the result, and sends the same bytes to everyone."""

from __future__ import annotations

from btard.hashing import digest
from btard.identity import MessageKind, PeerId
from btard.round.actions import Action, AggregateRows, SendPart
from btard.round.attempt import Attempt
from btard.round.messages import Aggregate, Fault, Phase
from btard.round.phases import StepContext
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
        rows = tuple(attempt.rows[peer] for peer in attempt.members)
        attempt.rows.clear()
        return [AggregateRows(attempt.number, rows, len(attempt.members))]

    def aggregate_ready(self, payload: Payload, refused: tuple[int, ...]) -> list[Action]:
        """Commit to the own aggregate and send it: the signed header carries the hash."""
        attempt, step = self._attempt, self._step
        sent = step.behaviour.aggregate(step.roster.step, payload)
        aggregate = Aggregate(digest(sent), refused)
        envelope = step.sign(attempt.number, MessageKind.AGGREGATE, aggregate.encode())
        attempt.note(envelope)
        attempt.aggregates[attempt.me] = aggregate
        own = attempt.partition.view(attempt.flat, attempt.my_part)
        own[:] = sent
        attempt.gathered.add(attempt.me)
        header = envelope.encode()
        return [SendPart(peer, header, own) for peer in attempt.others]

    def busy(self) -> bool:
        """Whether the own aggregate is not ready."""
        return self._attempt.me not in self._attempt.gathered

    def missing(self) -> dict[PeerId, Fault]:
        """Return whose aggregate has not come, or not whole."""
        attempt = self._attempt
        return {
            peer: Fault.BROKEN_AGGREGATE if (MessageKind.AGGREGATE, peer) in attempt.broken else Fault.NO_AGGREGATE
            for peer in attempt.others
            if peer not in attempt.gathered
        }

    def seconds(self) -> float:
        """How long the phase may take, aggregating included."""
        return self._attempt.rules.gather
