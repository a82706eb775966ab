"""The owner of a sum that is off is heard before it is accused: it may not have been told the number that spoils it."""

from __future__ import annotations

import math

from btard.identity import MessageKind
from btard.round.actions import Action, Send
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.failure.overdue import HEARING
from btard.round.messages.accusations import Charge, ChargeKind, Overdue
from btard.round.messages.requests import Forward
from btard.round.phases.course import Course
from btard.round.phases.measure import MeasurePhase
from btard.verification.thresholds import SUM


class Hearing:
    """Holds a charge back until its accused has had what it needs, and the time to say whose number is false.

    Attributes:
        until: when the charge is to be raised; infinite where there is none to wait for.
    """

    def __init__(self) -> None:
        self._charge: Charge | None = None
        self.until = math.inf

    def concerns(self, charge: Charge) -> bool:
        """Whether the accused of a charge has to be heard, and has not been."""
        return charge.kind is ChargeKind.WRONG_SUM and self._charge is None

    def share(self, now: float, context: StepContext, attempt: Attempt, course: Course) -> list[Action]:
        """Give all members the numbers of a sum that is off, once all are here: its owner may lack one, and so may its
        judges."""
        measured, seats = course.phase, attempt.seats
        spoilt = isinstance(measured, MeasurePhase) and any(True for _ in measured.spoilt_sums(SUM.convicts))
        if not spoilt or attempt.results.shared_at < math.inf:
            return []
        attempt.results.shared_at = now
        numbers = tuple(attempt.said.signed[MessageKind.SCALARS, peer].encode() for peer in seats.workers)
        shared = context.sign(seats.number, MessageKind.FORWARD, Forward(numbers).encode())
        return [Send(seats.others, shared.encode())]

    def open(self, now: float, context: StepContext, attempt: Attempt, charge: Charge) -> list[Action]:
        """Wait for as long as the owner's answer may take; the others are told."""
        self._charge, self.until = charge, now + HEARING * context.rules.delay_bound_seconds
        seats = attempt.seats
        plea = context.sign(seats.number, MessageKind.OVERDUE, Overdue(seats.attempt_id, seats.me).encode())
        return [Send(seats.others, plea.encode())]

    def ended(self, now: float, ends: float) -> bool:
        """Whether a phase that ends at a time has ended: not as long as somebody is heard."""
        return self.until == math.inf and now >= ends

    def close(self) -> Charge | None:
        """Return the charge that has waited long enough."""
        self.until = math.inf
        return self._charge


def spoilt_column(course: Course) -> Charge | None:
    """Return the charge that an owner has to raise about its column, before the others judge it by that."""
    charge = course.charge() if isinstance(course.phase, MeasurePhase) else None
    return charge if charge is not None and charge.kind is ChargeKind.FALSE_SCALARS else None
