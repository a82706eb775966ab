"""What a stage reports of a step, signed by its peer; it is shown, and enters no computation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from btard.identity import IdentityKey, Malformed, PeerId
from btard.identity.codec import Reader, encode
from btard.identity.envelope import RUN_ID_SIZE
from btard.identity.peer_id import SIGNATURE_SIZE
from btard.pipeline.seats.seating import MAX_SEATINGS
from btard.pipeline.seats.statements import MAX_REPORT
from btard.pipeline.stages.split import MAX_STAGES
from btard.vocabulary import MAX_STEPS

_DOMAIN = b"btard pipeline report 2\0"
_MOST = 2**62


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step of one stage.

    Attributes:
        run: the run's name.
        number: of the seating.
        seat: of the stage; see `Seating`.
        step: which.
        seconds: from the step's beginning to its end.
        loss: the mean over the micro-batches, not finite but at the last stage.
        sent_bytes: of messages to other stages, in this step.
        received_bytes: of messages from other stages, in this step.
        checks: activations that were compared with a duplicate's.
        alarm: the stage whose alarm was acted upon, None if there was none.
        passed_by: whether the step went on without this stage.
    """

    run: bytes
    number: int
    seat: int
    step: int
    seconds: float
    loss: float
    sent_bytes: int
    received_bytes: int
    checks: int
    alarm: int | None
    passed_by: bool = False

    def _body(self) -> bytes:
        counts = [self.number, self.seat, self.step, self.sent_bytes, self.received_bytes, self.checks]
        alarm = 0 if self.alarm is None else self.alarm + 1
        return encode([self.run, *counts, alarm, int(self.passed_by), [float(self.seconds), float(self.loss)]])

    def signed(self, key: IdentityKey) -> bytes:
        """Return it as it travels."""
        body = self._body()
        return encode([body, key.sign(_DOMAIN + body)])

    @classmethod
    def decode(cls, data: bytes, author: PeerId) -> StepReport:
        """Read what a peer has signed; raises Malformed."""
        outer = Reader(data, limit=MAX_REPORT)
        outer.fields(2)
        body, signature = outer.blob(most=MAX_REPORT), outer.blob(SIGNATURE_SIZE)
        outer.end()
        if not author.has_signed(_DOMAIN + body, signature):
            raise Malformed("the signature of a report does not verify")
        fields = Reader(body, limit=MAX_REPORT)
        fields.fields(10)
        run, number = fields.blob(RUN_ID_SIZE), fields.number(1, MAX_SEATINGS)
        seat, step = fields.number(0, MAX_STAGES - 1), fields.number(0, MAX_STEPS)
        sent, received, checks = (fields.number(0, _MOST) for _ in range(3))
        alarm, passed_by = fields.number(0, MAX_STAGES), bool(fields.number(0, 1))
        numbers = fields.floats(most=2)
        fields.end()
        if len(numbers) != 2 or not (math.isfinite(numbers[0]) and numbers[0] >= 0):
            raise Malformed("a report tells the seconds of its step, and a loss")
        seconds, loss = numbers
        raised = alarm - 1 if alarm else None
        return cls(run, number, seat, step, seconds, loss, sent, received, checks, raised, passed_by)
