"""Two thousand short scenarios: every attack alone, in pairs and more, on good and bad networks, checked at each step.

The first of them are among the quick tests, the rest among the slow ones. A seed that fails is printed with the command
that repeats it. `make soak` runs others for as long as told.
"""

from __future__ import annotations

import pytest

from btard.lab.simulation.settings import SimulateSettings
from btard.lab.stress.chaos import Tally, attack_names, draw, run_one
from btard.lab.stress.soak import run_seed
from tests.quick import quick

CHUNKS, QUICK, SLOW, RUNS = 80, 1, 14, 25


def check(tally: Tally) -> None:
    assert not tally.violations, "\n\n".join(["what must hold does not:", *tally.violations])


@pytest.mark.parametrize("chunk", quick(QUICK, range(CHUNKS), slow=SLOW))
def test_whatever_attackers_and_networks_do_the_invariants_hold(chunk: int) -> None:
    names, total = attack_names(), Tally()
    for seed in range(chunk * RUNS, (chunk + 1) * RUNS):
        total.add(run_seed(seed, names))
    check(total)
    assert total.runs == RUNS and total.checks > RUNS


SOME = ["SIGN_FLIPPING", "WRONG_AGGREGATE", "FALSE_ACCUSATION", "WITHHOLD_PART"]


@pytest.mark.parametrize(
    "name, every",
    quick(
        9,
        [(name, 1) for name in attack_names()] + [(name, every) for name in SOME for every in (10, 100)],
        slow=26,
    ),
)
def test_seven_of_sixteen_colluding_do_no_harm(name: str, every: int) -> None:
    """From step 1 on, so that with a period of 100 the second attack is never seen: a sleeper is no different."""
    settings = SimulateSettings(
        peers=16,
        byzantine=7,
        attack=[name],
        attack_start=1,
        attack_every=every,
        steps=3 if every == 1 else 12,
        seed=every,
        task="none",
        dimension=32,
        cut=[],
    )
    check(run_one(settings))


def test_a_newcomer_waits_while_others_end_the_step_before() -> None:
    """They take (f + 5) windows here, longer than its first phase; it cannot know, and would complain alone."""
    settings = SimulateSettings(
        peers=7,
        byzantine=2,
        attack=["EQUIVOCATE_DIGEST"],
        attack_proba=0.5,
        steps=4,
        seed=1981,
        task="none",
        dimension=5,
        rejoin="none",
        newcomers=2,
        newcomers_at=0,
        delay="0-0.3",
        momentum=0.9,
        clip=3.0,
        validators=0.0,
    )
    check(run_one(settings))


def test_the_scenarios_of_a_seed_stay_the_same() -> None:
    names = attack_names()
    assert draw(7, names) == draw(7, names) != draw(8, names)


def test_a_failure_is_told_with_the_command_that_repeats_it() -> None:
    settings = SimulateSettings(attack=["NO_SUCH_THING"], byzantine=1, peers=4, steps=1, cut=[], task="none")
    (line,) = run_one(settings).violations
    assert "NO_SUCH_THING" in line and line.endswith(settings.command)
