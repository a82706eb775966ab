"""What a phase of an attempt is to the step that runs it, and what all phases share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from btard.behaviour import Behaviour
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.actions import Action, Examine, Send
from btard.round.attempt.attempt import Attempt
from btard.round.messages.accusations import Fault
from btard.round.messages.bodies import Commit, Digest, Item, Phase, Reveal, Scalars
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.round.vectors.momentum import Link


@dataclass(frozen=True)
class StepContext:
    """What stays the same through a step's attempts.

    Attributes:
        parameters: digest of the training state x^t.
        candidates: newcomers that this peer would admit, ascending.
        record: the attempt that finished the step before, if this peer took part in it.
        links: what peers were last seen to submit before that, where the run has momentum.
    """

    rules: StepRules
    roster: Roster
    key: IdentityKey
    behaviour: Behaviour
    parameters: bytes
    candidates: tuple[PeerId, ...]
    record: Attempt | None
    links: Mapping[PeerId, Link] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """The global step."""
        return self.roster.step

    def examine(self, target: PeerId) -> Examine:
        """Return the action that examines what a peer submitted in the step before."""
        return Examine(self.number, target, self.record, self.links.get(target))

    def sign(self, attempt: int, kind: MessageKind, body: bytes) -> Envelope:
        """Return a signed message of this step."""
        return Envelope.sign(self.key, run=self.rules.run, step=self.roster.step, attempt=attempt, kind=kind, body=body)

    def publish(
        self, attempt: Attempt, kind: MessageKind, message: Commit | Reveal | Scalars | Digest | None
    ) -> list[Action]:
        """Sign a message, file it as sent, and return the action that sends it to the other members."""
        if message is None:
            return []
        envelope = self.sign(attempt.number, kind, message.encode())
        attempt.file(envelope)
        return [Send(attempt.others, envelope.encode())]


class PhaseOfAttempt(Protocol):
    """One phase: what it does when it begins, what it still waits for, and how long."""

    phase: Phase

    def enter(self) -> list[Action]:
        """Begin the phase."""

    def busy(self) -> bool:
        """Whether the own work of the phase is still to be done."""

    def complete(self) -> bool:
        """Whether nothing is missing; cheaper than to say what is."""

    def missing(self) -> dict[PeerId, Fault]:
        """Return what the phase still lacks of whom; empty when it is complete but for own work."""

    def seconds(self) -> float:
        """How long the phase may take."""


@runtime_checkable
class PhaseOfParts(PhaseOfAttempt, Protocol):
    """A phase in which parts or aggregates travel."""

    def wanted(self) -> list[Item]:
        """Return what has not come."""


HOPELESS = frozenset({Fault.OTHER_STATE, Fault.OTHER_VIEW, Fault.OTHER_DIGEST})
"""Faults that waiting does not mend."""

SILENT = {
    Fault.NO_COMMIT: MessageKind.COMMIT,
    Fault.NO_REVEAL: MessageKind.REVEAL,
    Fault.NO_SCALARS: MessageKind.SCALARS,
    Fault.NO_DIGEST: MessageKind.DIGEST,
}
"""Faults that are the lack of a message, which other members may have."""
