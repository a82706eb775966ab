"""What a container's health check says about a run directory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from btard.cli import health
from btard.vocabulary import HEARTBEAT_FILE


@pytest.mark.parametrize(("age", "code"), [(0.0, 0), (50.0, 0), (70.0, 1), (-3600.0, 1)])
def test_only_a_fresh_heartbeat_is_healthy(tmp_path: Path, age: float, code: int) -> None:
    beat = tmp_path / HEARTBEAT_FILE
    beat.touch()
    os.utime(beat, (time.time() - age,) * 2)
    assert health.main([str(tmp_path)]) == code


def test_a_directory_without_a_daemon_is_unhealthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BTARD_DIRECTORY", str(tmp_path))
    assert health.main([]) == 1
    assert "no daemon" in capsys.readouterr().out
    monkeypatch.delenv("BTARD_DIRECTORY")
    assert health.main([]) == 2


def test_the_check_imports_nothing_heavy() -> None:
    code = "import sys, btard.cli.health; sys.exit(bool({'torch', 'hivemind', 'pydantic'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 0
