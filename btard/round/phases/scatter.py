"""Phase 2, scatter: part j of everyone's vector travels to its owner j."""

from __future__ import annotations

from btard.identity import MessageKind, PeerId
from btard.round.actions import Action
from btard.round.attempt.attempt import Attempt
from btard.round.delivery.exchange import Exchange
from btard.round.messages.accusations import Fault
from btard.round.messages.bodies import Item, Phase
from btard.round.phases.phase import StepContext


class ScatterPhase:
    """Send each owner its part; an owner waits for its part from every worker."""

    phase = Phase.SCATTER

    def __init__(self, step: StepContext, attempt: Attempt, exchange: Exchange) -> None:
        self._step = step
        self._attempt = attempt
        self._exchange = exchange

    def enter(self) -> list[Action]:
        """Send the parts, under headers that sign what is sent."""
        attempt = self._attempt
        if attempt.me not in attempt.workers:
            return []
        actions: list[Action] = []
        for owner in attempt.others:
            if owner in attempt.part_of:
                actions += self._exchange.send_own(owner, attempt.part_of[owner])
        return actions

    def busy(self) -> bool:
        """Sending is the driver's work: never."""
        return False

    def complete(self) -> bool:
        """Whether the own part is here from every worker."""
        attempt = self._attempt
        # Every arrival asks this: counting first saves looking for each of the rows each time.
        own = attempt.partition.count if attempt.me in attempt.part_of else 0
        return (not own or len(attempt.rows) >= own + len(attempt.workers) - 1) and not self.wanted()

    def wanted(self) -> list[Item]:
        """Return the rows that have not come."""
        attempt, part = self._attempt, self._attempt.my_part
        if part is None:
            return []
        return [(MessageKind.PART, peer, part) for peer in attempt.workers if (peer, part) not in attempt.rows]

    def missing(self) -> dict[PeerId, Fault]:
        """Return whose part has not come, or not whole."""
        broken = self._attempt.broken
        return {
            peer: Fault.BROKEN_PART if (MessageKind.PART, peer) in broken else Fault.NO_PART
            for _, peer, _ in self.wanted()
        }

    def seconds(self) -> float:
        """How long the phase may take."""
        return self._attempt.rules.scatter_seconds
