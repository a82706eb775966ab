"""How long attackers last among clients: the closed form and the protocol's draws agree."""

from __future__ import annotations

import pytest

from btard.lab.theory.clients import CASES, Mix, expected_steps, main, measured
from btard.lab.theory.waits import expected_steps as without_clients
from btard.lab.theory.waits import interval_of_mean


@pytest.mark.parametrize("peers, liars", [(16, 7), (16, 3), (64, 31)])
def test_without_clients_it_is_the_form_of_voters(peers: int, liars: int) -> None:
    assert expected_steps(Mix(peers - liars, 0, liars, 0), 1) == pytest.approx(without_clients(peers, liars, 1))


def test_one_lying_client_waits_for_being_drawn() -> None:
    assert expected_steps(Mix(8, 3, 0, 1), 1) == pytest.approx(11), "every validator is honest"
    assert expected_steps(Mix(8, 3, 0, 1), 2) == pytest.approx(5)


@pytest.mark.parametrize("mix", CASES)
def test_the_draws_keep_to_the_closed_form(mix: Mix) -> None:
    low, high = interval_of_mean(measured(mix, 1, 300))
    assert low <= expected_steps(mix, 1) <= high


def test_one_command_makes_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", "3"]) == 0
    assert "| 9 | 0 | 7 | 0 | 37.1 |" in capsys.readouterr().out
