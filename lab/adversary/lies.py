"""The primitive lies: what one peer can do with its own key, its own messages and its own time, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum, StrEnum
from typing import Annotated, Literal

from pydantic import Field

from btard.behaviour import LeaveReason
from btard.identity import MessageKind
from btard.identity.envelope import STEP_KINDS
from btard.lab.adversary.naming import named
from btard.round.messages.accusations import ChargeKind, Fault, Opinion
from btard.round.messages.bodies import Phase

WORDS = tuple(sorted(STEP_KINDS))
"""The kinds of messages that lies are about."""

DECIDED = frozenset({MessageKind.COMMIT, MessageKind.REVEAL, MessageKind.SCALARS})
"""Of these a behaviour decides what the own session broadcasts."""

AGREED = frozenset({MessageKind.REPORT, MessageKind.VOTE})
"""On these the members agree: the own session passes on, and endorses, what it has said itself."""


class Whom(StrEnum):
    """Somebody else, another one each time."""

    HONEST = "honest"
    COLLUDER = "colluder"
    ANYBODY = "anybody"


class WhichPart(StrEnum):
    """Which part a charge is about."""

    MINE = "mine"
    THEIRS = "theirs"
    OTHER = "other"


class Twist(StrEnum):
    """What becomes of a vector v: -scale v, scale v, scale |v| u for a direction u that the colluders share."""

    FLIP = "flip"
    STRETCH = "stretch"
    TURN = "turn"


Word = Annotated[MessageKind, *named(MessageKind)]
Seconds = Annotated[float, Field(ge=0.0, le=3600.0, allow_inf_nan=False)]
Factor = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


@dataclass(frozen=True)
class _Lie:
    def __str__(self) -> str:
        told = [field.name for field in fields(self) if field.name != "name"]
        values = (getattr(self, name) for name in told)
        words = (value.name if isinstance(value, Enum) else f"{value:g}" for value in values)
        return f"{type(self).__name__}({', '.join(words)})"


@dataclass(frozen=True)
class Poison(_Lie):
    """Submit another vector than the gradient."""

    twist: Twist
    scale: Factor
    name: Literal["poison"] = "poison"


@dataclass(frozen=True)
class Accuse(_Lie):
    """Charge somebody in the court."""

    charge: Annotated[ChargeKind, *named(ChargeKind)]
    whom: Whom
    where: WhichPart
    name: Literal["accuse"] = "accuse"


@dataclass(frozen=True)
class Opine(_Lie):
    """Have one opinion on a charge, whatever the evidence."""

    opinion: Annotated[Opinion, *named(Opinion)]
    name: Literal["opine"] = "opine"


@dataclass(frozen=True)
class Withhold(_Lie):
    """Do not send a message."""

    word: Word
    name: Literal["withhold"] = "withhold"


@dataclass(frozen=True)
class Delay(_Lie):
    """Send a message later."""

    word: Word
    seconds: Seconds
    name: Literal["delay"] = "delay"


@dataclass(frozen=True)
class Garble(_Lie):
    """Sign something else, of the same form; only what an honest peer could not have said."""

    word: Word
    name: Literal["garble"] = "garble"


@dataclass(frozen=True)
class Contradict(_Lie):
    """Send a message and, so much later, sign something else of the same form for the same receiver."""

    word: Word
    seconds: Seconds
    name: Literal["contradict"] = "contradict"


@dataclass(frozen=True)
class Complain(_Lie):
    """With a message, send the own report of the attempt: somebody has not sent what it owes. With the report itself
    it takes the place of what that would say."""

    word: Word
    fault: Annotated[Fault, *named(Fault)]
    whom: Whom
    phase: Annotated[Phase, *named(Phase)]
    name: Literal["complain"] = "complain"


@dataclass(frozen=True)
class CallLate(_Lie):
    """Say in the own report that somebody was late."""

    whom: Whom
    name: Literal["call late"] = "call late"

    @property
    def word(self) -> MessageKind:
        """The kind of message that it changes."""
        return MessageKind.REPORT


@dataclass(frozen=True)
class Goodbye(_Lie):
    """When a message is due, say goodbye first, and go on."""

    word: Word
    reason: Annotated[LeaveReason, *named(LeaveReason)]
    name: Literal["goodbye"] = "goodbye"


@dataclass(frozen=True)
class FallSilent(_Lie):
    """When a message is due, stop for good."""

    word: Word
    name: Literal["fall silent"] = "fall silent"


LetterLie = Withhold | Delay | Garble | Contradict | Complain | CallLate | Goodbye | FallSilent
"""Lies about what is sent, each when a message of the kind `word` is due."""

Lie = Poison | Accuse | Opine | LetterLie
"""All lies."""
