"""`btard lab`: experiments from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from btard.cli.main import main


def test_a_run_says_what_came_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"lab run --workers 4 --steps 3 --batched off --evaluate-every 2 --output {tmp_path / 'run'}"
    assert main(words.split()) == 0
    said = capsys.readouterr().out
    assert [line.split()[:2] for line in said.splitlines()] == [
        ["step", "0"],
        ["step", "2"],
        ["step", "3"],
        ["files:", str(tmp_path / "run")],
    ]
    assert (tmp_path / "run" / "study.csv").read_text().count("\n") == 4


def test_a_listed_attack_can_be_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("btard.byzantine.gradients.registry")
    assert main(["lab", "list"]) == 0
    said = capsys.readouterr().out
    assert "centered_clip" in said and "little" in said and "digits" in said
    words = (
        "lab run --workers 5 --attackers 1 --attack little:factor=1.5,negative=true --steps 2 --rule coordinate_median"
    )
    assert main(words.split()) == 0


def test_commands_that_do_not_exist_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "ran"]) == 2
    assert "there is no command 'ran'" in capsys.readouterr().err
    assert main(["lab", "--help"]) == 0
    assert "btard lab COMMAND" in capsys.readouterr().out
