"""Strategies that are known, written in the adversary's own words."""

from __future__ import annotations

from btard.lab.adversary.conditions import Condition, Fact
from btard.lab.adversary.lies import Accuse, Poison, Twist, WhichPart, Whom
from btard.lab.adversary.strategy import Clause, Strategy
from btard.round.messages.accusations import ChargeKind

FIRST_ATTEMPT = Condition(Fact.ATTEMPT_FROM, holds=False, number=1)
UNJUDGEABLE = Accuse(ChargeKind.WRONG_AGGREGATE, Whom.ANYBODY, WhichPart.THEIRS)

POISONERS = Strategy((Clause(Poison(Twist.FLIP, 10.0)),))
"""Everybody poisons, always."""

QUARREL = Strategy((Clause(UNJUDGEABLE, (Condition(Fact.FIRST_MATE),)),))
"""One colluder charges one owner after the other with what nobody has looked at."""

QUARREL_IN_TURN = Strategy((Clause(UNJUDGEABLE, (Condition(Fact.MY_TURN),)),))
"""The same by all colluders, each in attempts of its own."""

GAMBLERS = Strategy(
    (
        Clause(Poison(Twist.FLIP, 10.0), (FIRST_ATTEMPT,)),
        Clause(UNJUDGEABLE, (FIRST_ATTEMPT, Condition(Fact.DOOMED), Condition(Fact.FIRST_MATE))),
    )
)
"""All poison the first attempt, one makes it fail if a colluder would be examined, and all are honest in the next."""
