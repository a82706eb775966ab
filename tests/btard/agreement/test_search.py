"""Stories that are drawn hold, and one that does not is told by its number."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.btard.agreement import search
from tests.btard.agreement.search import drawn
from tests.btard.agreement.story import Story, played, tell
from tests.quick import stride


@pytest.mark.parametrize("tens", range(20))
def test_whatever_liars_say_the_honest_agree(tens: int) -> None:
    for number in range(10 * tens, 10 * tens + 10):
        tell(drawn(number))


@pytest.mark.slow
def test_thousands_of_lies_divide_nobody() -> None:
    for number in range(1000, 11_000, stride(8)):
        tell(drawn(number))


def test_a_number_is_one_story() -> None:
    for number in range(20):
        assert drawn(number) == drawn(number)
        assert played(drawn(number)).decided_at == played(drawn(number)).decided_at


def test_a_story_is_the_same_in_every_process() -> None:
    """Sets have another order in each."""
    shown = "from tests.btard.agreement.search import *; print([played(drawn(n)).heard for n in range(50)])"
    told = [
        subprocess.run(
            [sys.executable, "-c", shown],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[3],
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1] != b""


def test_a_story_that_fails_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def checked(story: Story, world: object) -> None:
        if story == drawn(12):
            raise AssertionError("it is wrong")

    monkeypatch.setattr(search, "check", checked)
    monkeypatch.setattr("sys.argv", ["search", "--stories", "2", "--seed", "10"])
    search.main()
    assert "2 stories hold" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["search", "--stories", "5", "--seed", "10"])
    with pytest.raises(SystemExit, match="1"):
        search.main()
    assert capsys.readouterr().out.startswith(f"story 12: it is wrong\n{drawn(12)}")
