"""Logs and directories of a test run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from btard.coordinator.run_directory import RunDirectory
from btard.swarm.events.coordinator import CoordinatorEvent
from btard.swarm.events.log import EventLog


class Log(EventLog[CoordinatorEvent]):
    """An event log that a test can read."""

    def read(self) -> list[dict[str, Any]]:
        """What was written."""
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def named(self, event: str) -> list[dict[str, Any]]:
        """The events of a name."""
        return [entry for entry in self.read() if entry["event"] == event]


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "run")


@pytest.fixture
def log(directory: RunDirectory) -> Iterator[Log]:
    with Log(directory.events) as log:
        yield log
