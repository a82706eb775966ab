"""What a report attaches: what this peer has heard in one, and what it may put into its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from btard.identity import Envelope
from btard.round.attempt.attempt import Attempt
from btard.round.messages.accusations import Report
from btard.round.messages.form import Attachments


@dataclass(frozen=True)
class Told:
    """A report that counts, as this peer has first heard it.

    Attributes:
        attached: the messages of members that it carries, genuine.
        proves: whether they convict somebody, or say goodbye.
    """

    envelope: Envelope
    report: Report
    attached: tuple[Envelope, ...]
    proves: bool


def fitting(attempt: Attempt, envelopes: Iterable[Envelope]) -> tuple[bytes, ...]:
    """Return what a report may attach of these, each once, in this order, as far as there is room."""
    seats = attempt.seats
    place = Attachments(seats.rules.run, seats.roster.step, seats.number, seats.known)
    room = seats.caps.attached
    found = []
    for envelope in envelopes:
        data = envelope.encode()
        size = len(data) + 5
        if size <= room and envelope.is_genuine() and place.admit(data, envelope):
            found.append(data)
            room -= size
    return tuple(found)
