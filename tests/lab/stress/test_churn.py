"""Hours of coming and going, on the virtual clock."""

from __future__ import annotations

import pytest

from btard.lab.stress import churn as module
from btard.lab.stress.churn import churn, main
from tests.quick import stride


def test_members_come_and_go_and_the_run_goes_on() -> None:
    found = churn(16, 2400.0, seed=1)
    assert found.steps >= 10 and found.checks >= 100
    assert found.died and found.left and found.admitted


def test_a_swarm_that_most_have_left_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_BETWEEN_SECONDS", (1.0, 2.0))
    assert main(["--peers", "5", "--hours", "1"]) == 3
    assert "I7: the run ends after" in capsys.readouterr().out


@pytest.mark.slow
def test_64_peers_come_and_go_for_half_an_hour() -> None:
    """Or for two hours, with TEST_EVERY=1."""
    quarters = 4 // stride(4)
    found = churn(64, 1800.0 * quarters, seed=1)
    assert found.died + found.left >= 3 * quarters
    assert quarters < 4 or found.admitted >= 2
