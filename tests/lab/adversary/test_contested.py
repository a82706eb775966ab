"""A finished step that liars have the others agree on once more, and make that last as long as it can."""

import pytest

from btard.identity import MessageKind
from btard.lab.adversary.conditions import Condition, Fact
from btard.lab.adversary.lies import Complain, Whom, Withhold
from btard.lab.adversary.play import Arena, play
from btard.lab.adversary.strategy import Clause, Strategy
from btard.round.messages.accusations import Fault as Missing
from btard.round.messages.bodies import Phase

CONTEST = Strategy(
    (
        Clause(Withhold(MessageKind.RELAY), (), 0.5),
        Clause(
            Complain(MessageKind.DIGEST, Missing.NO_REVEAL, Whom.HONEST, Phase.GATHER), (Condition(Fact.OWNER),), 0.025
        ),
    )
)
"""Sign the result, complain of somebody before all have it, and keep back what lets the others agree at once."""


@pytest.mark.parametrize("seed", [0, 3, 13, 16])
def test_a_contested_end_costs_no_honest_peer_its_place(seed: int) -> None:
    scores = play(CONTEST, Arena(), seed)
    assert (scores.honest_out, scores.forks, scores.done) == (0, 0, 8)


def test_contesting_a_finished_step_costs_the_place() -> None:
    liars, delay_bound_seconds, shortest_step_seconds = 3, 2.0, 0.15
    agreement_seconds = 2.5 * delay_bound_seconds
    arena = Arena()
    # Each of them can have its own such step; they have two, and all eight while nobody loses its place.
    assert play(CONTEST, arena, 1).time < liars * agreement_seconds / (arena.steps * shortest_step_seconds)
