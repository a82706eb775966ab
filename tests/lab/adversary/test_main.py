"""The program: what it finds is saved and replays exactly, bad input is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from btard.lab.adversary.__main__ import main
from btard.lab.adversary.play import Arena, play
from btard.lab.adversary.scores import Aim
from btard.lab.adversary.search import Fresh, Search, Winner
from btard.lab.adversary.strategy import Strategy

SMALL = [
    "--peers",
    "4",
    "--byzantine",
    "1",
    "--steps",
    "2",
    "--long-steps",
    "6",
    "--workers",
    "1",
    "--fresh",
    "2",
    "--seed",
    "4",
]


def test_what_is_found_replays_exactly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "found.json"
    assert main([*SMALL, "--seconds", "1", "--aims", "bytes,poison", "--output", str(path)]) == 0
    told = capsys.readouterr().out
    assert "seed 4: " in told and "bytes: " in told and "fresh swarms" in told and f"--replay {path}" in told
    assert main(["--replay", str(path)]) == 0
    replayed = capsys.readouterr().out
    assert "exactly as saved" in replayed and "not as saved" not in replayed


def test_a_replay_that_differs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "found.json"
    main([*SMALL, "--seconds", "1", "--aims", "time", "--output", str(path)])
    text = path.read_text()
    assert '"voided": ' in text
    path.write_text(text.replace('"voided": ', '"voided": 9'))
    assert main(["--replay", str(path)]) == 3
    assert "not as saved" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("aim", "holds", "mean", "code"),
    [
        (Aim.HONEST_OUT, True, 0.1, 3),
        (Aim.FORKS, True, 0.1, 3),
        (Aim.FORKS, False, 0.1, 0),
        (Aim.TIME, True, 2.9, 0),
        (Aim.TIME, True, 3.1, 3),
        (Aim.BYTES, True, 9.0, 0),
    ],
)
def test_only_harm_that_nobody_may_do_is_a_failure(
    aim: Aim, holds: bool, mean: float, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, scores = Fresh(2, mean, 0.0), play(Strategy(), Arena(peers=4, byzantine=1, steps=1), 1)
    winner = Winner(aim, Strategy(), 1, 0.0, mean, fresh, holds, 1, scores)
    monkeypatch.setattr(Search, "winners", lambda search, fresh: [winner])
    assert main([*SMALL, "--seconds", "0", "--output", str(tmp_path / "found.json")]) == code


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--replay", "nowhere.json"], "--replay is nowhere.json, which cannot be read"),
        (["--replay", __file__], "which no search has written"),
        (["--peers", "3", "--byzantine", "3"], "--byzantine is 3 of 3 peers"),
        (["--peers", "1"], "--peers is 1"),
        (["--delay", "soon"], "--delay is soon"),
        (["--aims", "fame"], "--aims is fame, but the aims are honest-out, poison, time, bytes, forks"),
        (["--fresh", "0"], "--fresh is 0"),
        (["--workers", "0"], "--workers is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--seconds", "soon"], "--seconds"),
        (["--what"], "--what"),
        (["--seconds", "0", "--output", "/proc/none/found.json"], "--output is /proc/none/found.json"),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
