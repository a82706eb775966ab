"""Strategies that were written to make a run of a hundred steps last: none costs three times as long."""

from __future__ import annotations

import pytest

from btard.identity import MessageKind
from btard.lab.adversary.conditions import Condition, Fact
from btard.lab.adversary.lies import Accuse, Complain, Delay, FallSilent, Garble, WhichPart, Whom, Withhold
from btard.lab.adversary.play import Arena, play
from btard.lab.adversary.scores import MOST_SCORE, Aim
from btard.lab.adversary.strategy import Clause, Strategy
from btard.round.messages.accusations import ChargeKind, Fault
from btard.round.messages.bodies import Phase

OTHERS = Condition(Fact.FIRST_MATE, holds=False)
CHARGE = Clause(Accuse(ChargeKind.WRONG_AGGREGATE, Whom.ANYBODY, WhichPart.THEIRS), (Condition(Fact.FIRST_MATE),))
MUTE = Clause(Withhold(MessageKind.RELAY))
"""Speak in an agreement, and then neither echo nor vote."""

STRATEGIES = {
    "votes late": Strategy((CHARGE, MUTE, Clause(Delay(MessageKind.VOTE, 0.9)))),
    "mute": Strategy((CHARGE, MUTE)),
    "silent judges": Strategy((CHARGE, MUTE, Clause(Withhold(MessageKind.VOTE), (OTHERS,)))),
    "reports late": Strategy((CHARGE, MUTE, Clause(Delay(MessageKind.REPORT, 0.9), (OTHERS,)))),
    "two reports": Strategy(
        (CHARGE, MUTE, Clause(Garble(MessageKind.REPORT), (Condition(Fact.TO_FIRST, number=3), OTHERS), 0.03))
    ),
    "shares withheld": Strategy((Clause(Withhold(MessageKind.REVEAL), (Condition(Fact.MY_TURN),)), MUTE)),
    "silent once heard": Strategy(
        (
            Clause(FallSilent(MessageKind.RELAY)),
            Clause(
                Complain(MessageKind.DIGEST, Fault.NO_COMMIT, Whom.ANYBODY, Phase.AGREE), (Condition(Fact.FIRST_MATE),)
            ),
        )
    ),
}


@pytest.mark.parametrize(
    "name",
    [name if name in ("votes late", "mute") else pytest.param(name, marks=pytest.mark.slow) for name in STRATEGIES],
)
def test_no_strategy_makes_a_run_last_three_times_as_long(name: str) -> None:
    scores = play(STRATEGIES[name], Arena().measuring(Aim.TIME), 1)
    print(f"{name}: {scores.time:.2f}")
    assert scores.honest_out == scores.forks == 0
    assert scores.time < MOST_SCORE[Aim.TIME]
