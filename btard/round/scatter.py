"""Phase 2, scatter: part j of everyone's vector travels to its owner j."""

from __future__ import annotations

from btard.identity import MessageKind, PeerId
from btard.round.actions import Action, SendPart
from btard.round.attempt import Attempt
from btard.round.messages import Fault, PartHeader, Phase
from btard.round.phases import StepContext


class ScatterPhase:
    """Send each owner its part; wait for one's own part from everyone."""

    phase = Phase.SCATTER

    def __init__(self, step: StepContext, attempt: Attempt) -> None:
        self._step = step
        self._attempt = attempt

    def enter(self) -> list[Action]:
        """Send the parts, under headers that sign what is sent."""
        attempt, step = self._attempt, self._step
        attempt.rows[attempt.me] = attempt.own_parts[attempt.my_part]
        actions: list[Action] = []
        for owner in attempt.others:
            part = attempt.position[owner]
            payload = step.behaviour.part(step.roster.step, owner, attempt.own_parts[part])
            if payload is not None:
                header = PartHeader(part, attempt.own_digests[part]).encode()
                envelope = step.sign(attempt.number, MessageKind.PART, header)
                actions.append(SendPart(owner, envelope.encode(), payload))
        return actions

    def busy(self) -> bool:
        """Sending is the driver's work: never."""
        return False

    def missing(self) -> dict[PeerId, Fault]:
        """Return whose part has not come, or not whole."""
        attempt = self._attempt
        return {
            peer: Fault.BROKEN_PART if (MessageKind.PART, peer) in attempt.broken else Fault.NO_PART
            for peer in attempt.others
            if peer not in attempt.rows
        }

    def seconds(self) -> float:
        """How long the phase may take."""
        return self._attempt.rules.scatter
