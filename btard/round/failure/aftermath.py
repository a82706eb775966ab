"""What a peer still has to do in a step that it has finished: others may not have, and agree on how it ends."""

from __future__ import annotations

import math

from btard.identity import Envelope, Heading, MessageKind
from btard.round.actions import Action, OutcomeKind, Stopped
from btard.round.attempt.attempt import Attempt
from btard.round.delivery.intake import Intake
from btard.round.failure.settlement import Settlement, heard
from btard.round.messages.bodies import Phase

SETTLING = frozenset({MessageKind.REPORT, MessageKind.RELAY, MessageKind.VOTE})
"""Kinds of messages by which the members agree on how an attempt ends."""


class Aftermath:
    """Takes part in settling an attempt that this peer has finished, and shows that it has.

    Where the others have agreed on another end all the same, since this peer was held up for longer than the bound on
    delay, it says so by a Stopped action.
    """

    def __init__(self, attempt: Attempt, settlement: Settlement, intake: Intake) -> None:
        """Begin to listen; the settlement may have ended already, and then only answers others."""
        self._attempt = attempt
        self._settlement = settlement
        self._intake = intake

    @property
    def _contested(self) -> bool:
        return self._settlement.frozen and self._settlement.resolution is None

    @property
    def deadline(self) -> float:
        """When `tick` wants to be called."""
        return self._settlement.wakes_at if self._contested else math.inf

    def wants(self, heading: Heading | Envelope) -> bool:
        """Whether a message of the step is worth reading."""
        ours = heading.attempt == self._attempt.seats.number and heading.kind in SETTLING
        return ours and self._intake.wants(self._attempt, heading)

    def hear(self, now: float, envelope: Envelope) -> list[Action]:
        """A member's message that this peer `wants` came, with its signature verified."""
        settlement, attempt = self._settlement, self._attempt
        actions = heard(now, settlement, self._intake, envelope)
        if settlement.reasoned and not settlement.frozen:
            shown = [attempt.said.signed[MessageKind.DIGEST, peer] for peer in attempt.seats.members]
            actions += settlement.freeze(now, Phase.AGREE, {}, shown, None)
        return actions + self.tick(now)

    def tick(self, now: float) -> list[Action]:
        """Time has passed."""
        if not self._contested:
            return []
        settlement, seats = self._settlement, self._attempt.seats
        actions = settlement.advance(now)
        if settlement.resolution is None or settlement.finished:
            return actions
        why = "the members have agreed on another end of the step"
        return [*actions, Stopped(seats.roster.step, OutcomeKind.OUT_OF_SYNC, why)]
