"""What a peer still has to do in a step that it has finished: others may not have, and agree on how it ends."""

from __future__ import annotations

import math

from btard.identity import Envelope, Heading, MessageKind
from btard.round.actions import Action, OutcomeKind, Stopped
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.pace import Pace
from btard.round.delivery.intake import Intake
from btard.round.failure.settlement import Settlement
from btard.round.messages.bodies import Phase

SETTLING = frozenset({MessageKind.REPORT, MessageKind.RELAY, MessageKind.VOTE, MessageKind.LEAVE})
"""Kinds of messages by which the members agree on how an attempt ends, and on whose word is not waited for."""


class Aftermath:
    """Takes part in settling an attempt that this peer has finished, and shows that it has.

    Where the others have agreed on another end all the same, since this peer was held up for longer than the bound on
    delay, it says so by a Stopped action.
    """

    def __init__(self, attempt: Attempt, settlement: Settlement, intake: Intake, pace: Pace) -> None:
        """Begin to listen; the settlement may have ended already, and then only answers others."""
        self._pace = pace
        self._attempt = attempt
        self._settlement = settlement
        self._intake = intake

    @property
    def contested(self) -> bool:
        """Whether the end of the step is being agreed on: until then, members that have not finished it stand."""
        return self._settlement.frozen and self._settlement.resolution is None

    @property
    def deadline(self) -> float:
        """When `tick` wants to be called."""
        return self._settlement.wakes_at if self.contested else math.inf

    def wants(self, heading: Heading | Envelope) -> bool:
        """Whether a message of the step is worth reading."""
        timely = heading.attempt == self._attempt.seats.number or heading.kind is MessageKind.LEAVE
        return timely and heading.kind in SETTLING and self._intake.wants(self._attempt, heading)

    def hear(self, now: float, envelope: Envelope) -> list[Action]:
        """A member's message that this peer `wants` came, with its signature verified."""
        actions = self._settlement.hear_from(now, envelope, self._intake)
        return actions + self.join(now)

    def join(self, now: float) -> list[Action]:
        """Take part as soon as others are known to have given the attempt up for a reason: this peer may have heard of
        that before it finished."""
        settlement, attempt = self._settlement, self._attempt
        actions: list[Action] = []
        if settlement.reasoned and not settlement.frozen:
            shown = [attempt.said.signed[MessageKind.DIGEST, peer] for peer in attempt.seats.members]
            actions = settlement.freeze(now, Phase.AGREE, {}, shown, None)
        return actions + self.tick(now)

    def tick(self, now: float) -> list[Action]:
        """Time has passed."""
        if not self.contested:
            return []
        settlement, seats = self._settlement, self._attempt.seats
        actions = settlement.advance(now)
        if settlement.resolution is None:
            return actions
        if settlement.finished:
            self._pace.spoilt(settlement.spoilers)
            return actions
        why = "the members have agreed on another end of the step"
        return [*actions, Stopped(seats.roster.step, OutcomeKind.OUT_OF_SYNC, why)]
