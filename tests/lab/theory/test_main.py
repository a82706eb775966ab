"""The time until all attackers are banned: the closed form, the protocol's draws, and the whole protocol agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from btard.lab.theory.__main__ import CASES, main, table
from btard.lab.theory.figures import bans_figure
from btard.lab.theory.waits import Result, expected_p95, expected_steps, simulate_draws, simulate_protocol


@pytest.mark.parametrize(
    "case, expected", [((16, 7, 1), 37), ((16, 7, 2), 18), ((16, 3, 1), 28), ((64, 31, 1), 206), ((64, 31, 2), 102)]
)
def test_the_closed_form_has_the_published_values(case: tuple[int, int, int], expected: int) -> None:
    assert expected_steps(*case) == pytest.approx(expected, abs=1.1)


@pytest.mark.parametrize("case, p95", [((16, 7, 1), 62), ((16, 7, 2), 31), ((16, 1, 1), 47)])
def test_the_closed_forms_quantile_is_that_of_its_chain_of_waits(case: tuple[int, int, int], p95: int) -> None:
    # The first two are a Monte-Carlo simulation's; one attacker is out after k steps with 1 - (15/16)^k.
    assert expected_p95(*case) == pytest.approx(p95, abs=1)


def test_one_attacker_waits_for_the_one_draw_that_catches_it() -> None:
    assert expected_steps(16, 1, 1) == 16 * 15 / 15


@pytest.mark.parametrize("case", CASES[:3])
def test_the_draws_of_the_protocol_keep_to_the_closed_form(case: tuple[int, int, int]) -> None:
    result = simulate_draws(*case, runs=300, first_seed=1000)
    assert result.agrees, table([result])


@pytest.mark.slow
def test_the_whole_protocol_keeps_to_the_closed_form() -> None:
    result = simulate_protocol(5, 2, 1, runs=60)
    assert result.agrees, table([result])


def test_the_interval_is_that_of_the_mean() -> None:
    result = Result(16, 7, 1, "draws", (10, 20, 30, 80))
    assert result.mean == 35 and result.interval == pytest.approx((35 - 30.47, 35 + 30.47), abs=0.01)
    assert result.p95 == 80 and result.expected == pytest.approx(37.1, abs=0.1) and result.agrees


def test_the_interval_of_p95_is_that_of_ranks() -> None:
    result = Result(16, 7, 1, "draws", tuple(range(1, 1001)))
    assert result.p95 == 950 and result.p95_interval == (937, 965)
    assert not result.agrees


def test_one_command_makes_table_figure_and_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", "5", "--protocol-runs", "0", "--output", str(tmp_path)]) == 0
    assert "| 16 | 7 | 1 | 37.1 |" in capsys.readouterr().out
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"steps-until-banned.svg", "steps-until-banned.png", "steps-until-banned.json"}
    text = (tmp_path / "steps-until-banned.svg").read_text()
    before = (tmp_path / "steps-until-banned.png").read_bytes()
    bans_figure([simulate_draws(*case, runs=5) for case in CASES], tmp_path)
    assert (tmp_path / "steps-until-banned.png").read_bytes() == before and text.startswith("<?xml")
