"""What a stage says of another one that has lied: short, and resting on what the accused has signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from btard.identity import Malformed, PeerId
from btard.identity.codec import Reader, encode
from btard.pipeline.machine.messages import MAX_SIGNED_HEADER, SignedHeader, StageHeader, StageMessageKind

MAX_ACCUSATION = 2 * MAX_SIGNED_HEADER + 64


class Claim(IntEnum):
    """What the accused is said to have done. All but the last are decided by a third stage that computes again."""

    ACTIVATION = 1
    """Sent an activation that is not that of its weights and its input."""
    GRADIENT = 2
    """Sent a gradient back that is not that of its weights and what it was sent."""
    NORMS = 3
    """Told norms that are not those of its gradients."""
    TIED = 4
    """Told gradients of tied weights that are not its own."""
    STATE = 5
    """Pledged another state than its last step has led to."""
    UNREADABLE = 6
    """Sent bytes that the agreed codec does not write."""
    TWO_FACED = 7
    """Signed two different messages for one place; the two headers prove it."""


KINDS = {
    Claim.ACTIVATION: frozenset({StageMessageKind.ACTIVATION}),
    Claim.GRADIENT: frozenset({StageMessageKind.GRADIENT}),
    Claim.NORMS: frozenset({StageMessageKind.NORMS}),
    Claim.TIED: frozenset({StageMessageKind.TIED}),
    Claim.STATE: frozenset({StageMessageKind.PLEDGE}),
    Claim.UNREADABLE: frozenset({StageMessageKind.ACTIVATION, StageMessageKind.GRADIENT, StageMessageKind.ECHO}),
    Claim.TWO_FACED: frozenset(StageMessageKind) - {StageMessageKind.ASK},
}
"""What the accused has sent that a claim can be about."""


@dataclass(frozen=True, slots=True)
class Accusation:
    """A claim about a message.

    Attributes:
        claim: what is wrong with it.
        said: the message, as the accused has signed it.
        other: another one for the same place, for `Claim.TWO_FACED`.
    """

    claim: Claim
    said: SignedHeader
    other: SignedHeader | None = None

    @property
    def accused(self) -> int:
        """The stage that has signed it."""
        return self.said.header.stage

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([int(self.claim), self.said.encode(), b"" if self.other is None else self.other.encode()])

    @classmethod
    def decode(cls, data: bytes) -> Accusation:
        """Read bytes from the network; raises Malformed."""
        fields = Reader(data, limit=MAX_ACCUSATION)
        fields.fields(3)
        claim = Claim(fields.number(min(Claim), max(Claim)))
        said = SignedHeader.decode(fields.blob(most=MAX_SIGNED_HEADER))
        other = fields.blob(most=MAX_SIGNED_HEADER)
        fields.end()
        return cls(claim, said, SignedHeader.decode(other) if other else None)

    def check(self, alarm: StageHeader, roster: Sequence[PeerId]) -> None:
        """Check that the accused has signed what the alarm is about, in the same attempt.

        Raises:
            Malformed: no honest stage raises this alarm.
        """
        told = self.said.header
        if told.stage >= len(roster) or told.stage == alarm.stage or told.kind not in KINDS[self.claim]:
            raise Malformed("an alarm about nothing that a stage has said")
        if (told.run, told.step) != (alarm.run, alarm.step) or told.attempt > alarm.attempt:
            raise Malformed("an alarm about another step")
        self.said.verify(roster[told.stage])
        if (self.other is None) == (self.claim is Claim.TWO_FACED):
            raise Malformed("two headers are shown exactly of a stage with two faces")
        if self.other is not None:
            if self.other.header == told or place_of(self.other.header) != place_of(told):
                raise Malformed("two headers that do not contradict each other")
            self.other.verify(roster[told.stage])


def place_of(header: StageHeader) -> tuple[bytes, int, int, StageMessageKind, int, int]:
    """Return where in a run something is said: there an honest stage says one thing."""
    return header.run, header.step, header.attempt, header.kind, header.stage, header.micro_batch
