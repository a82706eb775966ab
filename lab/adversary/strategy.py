"""A strategy: who of the colluders lies how, and when; as data, as JSON, and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter

from btard.identity import MessageKind
from btard.lab.adversary.conditions import RECEIVER_FACTS, Condition
from btard.lab.adversary.knowledge import Occasion
from btard.lab.adversary.lies import AGREED, DECIDED, CallLate, Complain, Garble, Lie, Seconds

MOST_CLAUSES, MOST_CONDITIONS = 8, 6


@dataclass(frozen=True)
class Clause:
    """One lie, told whenever all conditions hold.

    Attributes:
        wait: seconds for which the message that the lie is about is held back, so that the conditions are looked at,
            and everything decided, that much later; lies about no message ignore it, and so do those that all are told
            about a failed attempt.
    """

    lie: Annotated[Lie, Field(discriminator="name")]
    conditions: Annotated[tuple[Condition, ...], Field(max_length=MOST_CONDITIONS)] = ()
    wait: Seconds = 0.0

    def holds(self, occasion: Occasion) -> bool:
        """Whether the lie is told at this occasion."""
        return all(condition.met(occasion) for condition in self.conditions)

    @property
    def to_all(self) -> bool:
        """Whether the lie is the same for every receiver of a message."""
        return RECEIVER_FACTS.isdisjoint(condition.fact for condition in self.conditions)

    @property
    def decided_early(self) -> bool:
        """Whether the own session knows of the lie: it says something else to all, and goes on from that."""
        match self.lie:
            case Garble(word=word):
                return self.to_all and (word in AGREED or (word in DECIDED and not self.wait))
            case Complain(word=word):
                return self.to_all and word is MessageKind.REPORT
            case CallLate():
                return self.to_all
        return False

    def __str__(self) -> str:
        when = f" if {' and '.join(map(str, self.conditions))}" if self.conditions else ""
        return f"{self.lie}{when}{f' after {self.wait:g} s' if self.wait else ''}"


@dataclass(frozen=True)
class Strategy:
    """What all colluders do; without clauses they are honest."""

    clauses: Annotated[tuple[Clause, ...], Field(max_length=MOST_CLAUSES)] = ()

    def __str__(self) -> str:
        return "; ".join(map(str, self.clauses)) or "honest"


_ADAPTER: TypeAdapter[Strategy] = TypeAdapter(Strategy)


def to_json(strategy: Strategy) -> str:
    """Return a strategy as JSON, which `from_json` reads again."""
    return _ADAPTER.dump_json(strategy).decode()


def from_json(text: str | bytes) -> Strategy:
    """Read what `to_json` has written; raises pydantic's ValidationError, a ValueError."""
    return _ADAPTER.validate_json(text)
