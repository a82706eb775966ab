"""How long a crowd of keys needs to outvote those that were there: the closed form and the protocol's draws agree."""

from __future__ import annotations

import math

import pytest

from btard.lab.theory.crowd import SIZES, besiege, draws_alone, expected_steps, main, steps_of, windows_alone
from tests.quick import quick


@pytest.mark.parametrize("members", [1, 2, 8, 19])
def test_beside_few_members_one_key_comes_in_at_a_time(members: int) -> None:
    assert windows_alone(members) == members + 1
    assert steps_of(windows_alone(members), probation=20) == 20 * members + 21


@pytest.mark.parametrize("members", [20, 64, 256, 1000])
def test_many_members_are_outgrown_by_compound_growth_at_most(members: int) -> None:
    assert math.log(2 + 1 / members) / math.log(1.05) <= windows_alone(members) <= members + 1


@pytest.mark.parametrize("members", [*SIZES, 1, 19, 20, 39, 40, 100])
@pytest.mark.parametrize("probation", [1, 20, 33])
def test_a_crowd_alone_needs_what_the_closed_form_says(members: int, probation: int) -> None:
    steps = draws_alone(members, 2 * members, 3, rival=False, probation=probation)
    assert steps == steps_of(windows_alone(members), probation)


@pytest.mark.parametrize("members, waiting", quick(1, [(8, 2), (8, 32), (16, 4), (64, 16)]))
def test_beside_newcomers_the_mean_is_that_of_the_chain(members: int, waiting: int) -> None:
    siege = besiege(members, waiting, 60, first_seed=100)
    assert siege.agrees, (siege.expected, siege.interval)


def test_more_keys_get_there_sooner_and_never_sooner_than_alone() -> None:
    alone = steps_of(windows_alone(8))
    means = [expected_steps(8, waiting) for waiting in (2, 4, 16, 1000)]
    assert means == sorted(means, reverse=True) and means[-1] == pytest.approx(alone, rel=0.02) and means[-1] > alone


def test_one_command_makes_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", "2"]) == 0
    told = capsys.readouterr().out
    assert "| 8 | 9 | 181 | 181 |" in told and "| 256 | 15 | 301 | 301 |" in told
