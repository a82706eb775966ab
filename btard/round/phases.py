"""What a phase of an attempt is to the step that runs it, and what all phases share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from btard.behaviour import Behaviour
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.actions import Action, Send
from btard.round.attempt import Attempt, StepRules
from btard.round.messages import Fault, Phase
from btard.round.roster import Roster


@dataclass(frozen=True)
class StepContext:
    """What stays the same through a step's attempts.

    Attributes:
        parameters: digest of the training state x^t.
        candidates: newcomers that this peer would admit, ascending.
    """

    rules: StepRules
    roster: Roster
    key: IdentityKey
    behaviour: Behaviour
    parameters: bytes
    candidates: tuple[PeerId, ...]

    def sign(self, attempt: int, kind: MessageKind, body: bytes) -> Envelope:
        """Return a signed message of this step."""
        return Envelope.sign(self.key, run=self.rules.run, step=self.roster.step, attempt=attempt, kind=kind, body=body)

    def broadcast(self, attempt: Attempt, kind: MessageKind, body: bytes) -> Send:
        """Sign a message, note it as sent, and return the action that sends it to the other members."""
        envelope = self.sign(attempt.number, kind, body)
        attempt.note(envelope)
        return Send(attempt.others, envelope.encode())


class PhaseOfAttempt(Protocol):
    """One phase: what it does when it begins, what it still waits for, and how long."""

    phase: Phase

    def enter(self) -> list[Action]:
        """Begin the phase."""

    def busy(self) -> bool:
        """Whether the own work of the phase is still to be done."""

    def missing(self) -> dict[PeerId, Fault]:
        """Return what the phase still lacks of whom; empty when it is complete but for own work."""

    def seconds(self) -> float:
        """How long the phase may take."""


HOPELESS = frozenset({Fault.OTHER_STATE, Fault.BROKEN_PART, Fault.BROKEN_AGGREGATE, Fault.OTHER_DIGEST})
"""Faults that waiting does not mend."""
