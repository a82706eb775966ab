"""Liars keep from honest members what only those need, so that others wait for these: nobody of them is out."""

from __future__ import annotations

import pytest

from btard.identity import MessageKind
from btard.lab.adversary.conditions import Condition, Fact
from btard.lab.adversary.lies import Withhold
from btard.lab.adversary.play import Arena, play
from btard.lab.adversary.strategy import Clause, Strategy


def kept_from(word: MessageKind, honest: int) -> Clause:
    """What all colluders do not send to the first so many honest members, until these ask."""
    return Clause(Withhold(word), (Condition(Fact.TO_FIRST, number=honest),))


PARTS = kept_from(MessageKind.PART, 2)
STRATEGIES = {
    "parts": Strategy((PARTS,)),
    "commitments and parts": Strategy((kept_from(MessageKind.COMMIT, 1), PARTS)),
    "parts and digests": Strategy((kept_from(MessageKind.PART, 1), kept_from(MessageKind.DIGEST, 2))),
}
TINY, WIDE = "0.008-0.012", "0.1-0.3"
"""Seconds that a message takes, at most a seventh of the bound on delay."""


@pytest.mark.parametrize(
    ("name", "delay", "steps"),
    [
        ("parts", TINY, 6),
        ("parts", WIDE, 12),
        *(pytest.param(name, delay, 40, marks=pytest.mark.slow) for name in STRATEGIES for delay in (TINY, WIDE)),
    ],
)
def test_a_held_up_owner_keeps_its_place(name: str, delay: str, steps: int) -> None:
    """One owner without a validator's row has three honest rows of six, so liars decide when half of them are there."""
    scores = play(STRATEGIES[name], Arena(steps=steps, delay=delay), 1)
    assert (scores.honest_out, scores.done, scores.forks) == (0, steps, 0)
