"""The dashboard as a whole: its address, its token, and the run that it shows."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from btard.coordinator.dashboard.service import Dashboard
from btard.coordinator.dashboard.source import coordinator_directory
from btard.errors import UserError


async def test_beyond_loopback_a_token_is_made_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dashboard = Dashboard("0.0.0.0:0", None)
    with caplog.at_level(logging.INFO):
        async with dashboard.serving(tmp_path):
            pass
    (line,) = [record.getMessage() for record in caplog.records if "dashboard" in record.getMessage()]
    assert len(line.partition("?token=")[2]) == 32


async def test_a_given_token_is_not_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "token").write_text("a-token-of-some-length")
    dashboard = Dashboard("0.0.0.0:0", tmp_path / "token")
    with caplog.at_level(logging.INFO):
        async with dashboard.serving(tmp_path):
            pass
    assert "dashboard http" in caplog.text and "a-token-of-some-length" not in caplog.text


def test_directories_of_runs(tmp_path: Path) -> None:
    run = tmp_path / "swarm" / "coordinator"
    run.mkdir(parents=True)
    with pytest.raises(UserError, match="holds no run of a coordinator"):
        coordinator_directory(run)
    with pytest.raises(UserError, match="is no directory"):
        coordinator_directory(tmp_path / "none")
    (run / "manifest.json").write_text("{}")
    (run / "events.jsonl").write_text("")
    assert coordinator_directory(run) == coordinator_directory(tmp_path / "swarm") == run
