"""When a colluder lies: facts that it knows at the occasion of a decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from btard.identity import MessageKind
from btard.lab.adversary.knowledge import Occasion
from btard.lab.adversary.naming import named


class Fact(StrEnum):
    """What may be true at the occasion of a decision; n is the number of the condition, which most facts ignore."""

    STEP_FROM = "the step is n or later"
    EVEN_STEP = "the step is even"
    ATTEMPT_FROM = "the attempt is n or later"
    COIN = "the coin of the attempt shows heads"
    FIRST_MATE = "I am the first colluder among the members"
    MY_TURN = "it is my turn among the colluders, which take turns by attempts"
    OWNER = "I own a part"
    VALIDATOR = "I examine somebody in this step"
    TARGET = "I am examined in this step"
    JUDGED = "an honest member examines a colluder in this step"
    DRAWN = "r^t is known"
    DOOMED = "r^t lets an honest member examine a colluder in the next step"
    REPORTED = "an honest member has given the attempt up"
    SAID_BY = "at least n honest members have said what I am about to say"
    PHASE = "I am leaving phase n"
    TO_HONEST = "the receiver is honest"
    TO_FIRST = "the receiver is among the first n honest members"
    TO_OWNER = "the receiver owns a part"
    TO_VALIDATOR = "the receiver examines somebody in this step"
    ABOUT_HONEST = "the accused is honest"


RECEIVER_FACTS = frozenset({Fact.SAID_BY, Fact.TO_HONEST, Fact.TO_FIRST, Fact.TO_OWNER, Fact.TO_VALIDATOR})
"""Facts about a message that is about to be sent."""

NUMBERED_FACTS = frozenset({Fact.STEP_FROM, Fact.ATTEMPT_FROM, Fact.SAID_BY, Fact.PHASE, Fact.TO_FIRST})
"""Facts that look at the number of their condition."""


def _is_my_turn(occasion: Occasion) -> bool:
    mates = occasion.ring.mates(occasion.seats.members)
    return mates.index(occasion.seats.me) == occasion.attempt % len(mates)


def _is_among_first(occasion: Occasion, count: int) -> bool:
    return occasion.receiver in occasion.ring.honest(occasion.seats.members)[:count]


_HOLDS: dict[Fact, Callable[[Occasion, int], bool]] = {
    Fact.STEP_FROM: lambda occasion, n: occasion.step >= n,
    Fact.EVEN_STEP: lambda occasion, n: occasion.step % 2 == 0,
    Fact.ATTEMPT_FROM: lambda occasion, n: occasion.attempt >= n,
    Fact.COIN: lambda occasion, n: occasion.ring.coin(occasion.step, occasion.attempt),
    Fact.FIRST_MATE: lambda occasion, n: occasion.ring.mates(occasion.seats.members)[0] == occasion.seats.me,
    Fact.MY_TURN: lambda occasion, n: _is_my_turn(occasion),
    Fact.OWNER: lambda occasion, n: occasion.seats.my_part is not None,
    Fact.VALIDATOR: lambda occasion, n: occasion.seats.target is not None,
    Fact.TARGET: lambda occasion, n: occasion.seats.me in occasion.seats.roster.validators.values(),
    Fact.JUDGED: lambda occasion, n: occasion.ring.judged(occasion.seats),
    Fact.DRAWN: lambda occasion, n: bool(occasion.ring.randomness(occasion.seats)),
    Fact.DOOMED: lambda occasion, n: occasion.ring.doomed(occasion.seats),
    Fact.REPORTED: lambda occasion, n: occasion.ring.heard(occasion.seats, MessageKind.REPORT) > 0,
    Fact.SAID_BY: lambda occasion, n: (
        occasion.word is not None and occasion.ring.heard(occasion.seats, occasion.word) >= n
    ),
    Fact.PHASE: lambda occasion, n: occasion.phase is not None and occasion.phase == n,
    Fact.TO_HONEST: lambda occasion, n: (
        occasion.receiver is not None and occasion.receiver not in occasion.ring.insiders
    ),
    Fact.TO_FIRST: _is_among_first,
    Fact.TO_OWNER: lambda occasion, n: occasion.receiver in occasion.seats.part_of,
    Fact.TO_VALIDATOR: lambda occasion, n: occasion.receiver in occasion.seats.validators,
    Fact.ABOUT_HONEST: lambda occasion, n: (
        occasion.charge is not None and occasion.charge.accused not in occasion.ring.insiders
    ),
}


@dataclass(frozen=True)
class Condition:
    """A fact that must hold, or must not.

    Attributes:
        number: of facts that have one; 0 otherwise.
    """

    fact: Annotated[Fact, *named(Fact)]
    holds: bool = True
    number: Annotated[int, Field(ge=0, le=1_000_000)] = 0

    def met(self, occasion: Occasion) -> bool:
        """Whether it is as the condition says."""
        return _HOLDS[self.fact](occasion, self.number) is self.holds

    def __str__(self) -> str:
        number = f" {self.number}" if self.fact in NUMBERED_FACTS else ""
        return f"{'' if self.holds else 'not '}{self.fact.name}{number}"
