"""Soaking goes on when a run hangs or kills its process, and tells about it."""

from __future__ import annotations

import os
import time

import pytest

from btard.lab.stress import soak as module
from btard.lab.stress.chaos import Tally, attack_names
from btard.lab.stress.soak import TooLongError, limited, main, soak


def test_what_works_for_too_long_is_ended() -> None:
    started = time.process_time()
    with pytest.raises(TooLongError), limited(0.5):
        while True:
            assert time.process_time() - started < 5


def test_what_waits_for_too_long_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(TooLongError), limited(0.1):
        time.sleep(30)
    assert time.monotonic() - started < 10


def test_a_busy_machine_ends_nothing() -> None:
    with limited(0.2):
        time.sleep(0.4)


def test_a_hanging_run_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(module, "run_one", lambda settings: time.sleep(30))
    (line,) = module.run_seed(3, attack_names()).violations
    assert "it takes more than 0.1 s" in line and "--seed 3" in line


def _deadly(seed: int, names: object) -> Tally:
    if seed == 2:
        os._exit(1)
    return Tally(runs=1)


def test_a_process_that_dies_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_seed", _deadly)
    tally = soak(1.0, 0, attack_names(), workers=1)
    assert tally.violations and all("a process died" in line for line in tally.violations)
    assert tally.runs > len(tally.violations)


def test_a_short_soak_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seconds", "1", "--seed", "10", "--workers", "1", "--attack", "SIGN_FLIPPING"]) == 0
    assert "runs a second" in capsys.readouterr().out
