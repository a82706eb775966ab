"""Votes that a liar divides at their very moment: the dearest that an agreement can be made, once for each liar."""

from __future__ import annotations

import pytest

from btard.identity import MessageKind
from btard.lab.adversary.conditions import Condition, Fact
from btard.lab.adversary.lies import Accuse, Contradict, WhichPart, Whom, Withhold
from btard.lab.adversary.play import Arena, play
from btard.lab.adversary.scores import MOST_SCORE, Aim
from btard.lab.adversary.strategy import Clause, Strategy
from btard.round.messages.accusations import ChargeKind

MY_TURN = Condition(Fact.MY_TURN)
AS_OTHERS_VOTE = 0.205
"""Seconds: a tenth of the bound on delay after all have echoed the same, honest members vote without the mute ones."""

DIVIDED = Strategy(
    (
        Clause(Accuse(ChargeKind.WRONG_AGGREGATE, Whom.ANYBODY, WhichPart.THEIRS), (MY_TURN,)),
        Clause(Withhold(MessageKind.RELAY)),
        Clause(Contradict(MessageKind.REPORT, AS_OTHERS_VOTE), (Condition(Fact.TO_FIRST, number=2), MY_TURN)),
    )
)
"""Have an attempt fail, and show two of the four honest members another report just before they vote."""

ARENA = Arena().measuring(Aim.TIME)
DELAY_BOUND_SECONDS, SHORTEST_STEP_SECONDS = 2.0, 0.15


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)])
def test_divided_votes_cost_their_author_its_place(seed: int) -> None:
    """No more than decision by time and one more agreement for each colluder, and none of them comes back."""
    scores = play(DIVIDED, ARENA, seed)
    print(f"divided votes: {scores.time:.2f}")
    assert scores.honest_out == scores.forks == 0 and scores.voided == ARENA.byzantine
    windows = ARENA.byzantine * (ARENA.byzantine + 5 + 2)
    most = 1 + windows * 2 * DELAY_BOUND_SECONDS / (ARENA.steps * SHORTEST_STEP_SECONDS)
    assert MOST_SCORE[Aim.TIME] < scores.time < most, "beyond what anything else may cost"


@pytest.mark.slow
def test_divided_votes_cost_the_same_in_a_run_of_any_length() -> None:
    short, long = (play(DIVIDED, Arena(long_steps=steps).measuring(Aim.TIME), 1) for steps in (100, 300))
    assert 300 * (long.time - 1) == pytest.approx(100 * (short.time - 1), rel=0.1)
    assert long.time < MOST_SCORE[Aim.TIME]
