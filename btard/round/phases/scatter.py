"""Phase 2, scatter: part j of everyone's vector travels to its owner j."""

from __future__ import annotations

from btard.identity import MessageKind, PeerId
from btard.round.actions import Action
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.delivery.sending import send_part
from btard.round.messages.accusations import Fault
from btard.round.messages.bodies import Phase
from btard.round.messages.requests import Item


class ScatterPhase:
    """Send each owner its part; an owner waits for its part from every worker."""

    phase = Phase.SCATTER

    def __init__(self, context: StepContext, attempt: Attempt) -> None:
        self._context = context
        self._attempt = attempt
        self._seats = attempt.seats
        self._carried = attempt.carried

    def enter(self) -> list[Action]:
        """Send the parts, under headers that sign what is sent."""
        seats = self._seats
        if seats.me not in seats.workers:
            return []
        actions: list[Action] = []
        for owner in seats.others:
            if owner in seats.part_of:
                actions += send_part(self._context, self._attempt, owner, seats.part_of[owner])
        return actions

    def busy(self) -> bool:
        """Sending is the driver's work: never."""
        return False

    def complete(self) -> bool:
        """Whether the own part is here from every worker."""
        seats = self._seats
        # Every arrival asks this: counting first saves looking for each of the rows each time.
        own = seats.partition.count if seats.me in seats.part_of else 0
        return (not own or len(self._carried.rows) >= own + len(seats.workers) - 1) and not self.wanted()

    def halfway(self) -> bool:
        """Whether most rows of the own part are here."""
        part = self._seats.my_part
        senders = (author for author, of in self._carried.rows if of == part)
        return part is not None and self._seats.most_submitters_have_sent(senders)

    def wanted(self) -> list[Item]:
        """Return the rows that have not come."""
        part = self._seats.my_part
        if part is None:
            return []
        return [
            (MessageKind.PART, peer, part) for peer in self._seats.workers if (peer, part) not in self._carried.rows
        ]

    def missing(self) -> dict[PeerId, Fault]:
        """Return whose part has not come, or not whole."""
        broken = self._carried.broken
        return {
            peer: Fault.BROKEN_PART if (MessageKind.PART, peer) in broken else Fault.NO_PART
            for _, peer, _ in self.wanted()
        }

    def seconds(self) -> float:
        """How long the phase may take."""
        return self._seats.rules.scatter_seconds
