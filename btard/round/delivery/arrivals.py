"""Which announced payloads are taken, and what announcements prove."""

from __future__ import annotations

import contextlib

from btard.identity import Envelope, Malformed, PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.delivery.intake import Intake
from btard.round.messages.form import form_fault


def accept(
    attempt: Attempt, intake: Intake, sender: PeerId, envelope: Envelope, length: int
) -> tuple[memoryview | None, bool]:
    """Return the buffer for a payload that is announced under this header, or None to refuse it; and whether the header
    convicts its author."""
    expected = envelope.attempt == attempt.seats.number and sender in attempt.seats.known
    if not expected or not intake.takes_parts(sender):
        return None, False
    with contextlib.suppress(Malformed):
        return attempt.accept(sender, envelope, length), False
    convicts = envelope.author == sender and form_fault(envelope) is not None and envelope.is_genuine()
    if convicts:
        attempt.said.accuse_malformed(envelope)
    intake.refuse_parts(sender)  # an honest member signs what it sends, and reads what it passes on
    return None, convicts
