"""The log of lines: what JSON lacks, torn lines, and a disk that is full."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path

import pytest

from btard.errors import UserError
from btard.swarm.events.log import EventLog, JsonLines
from tests.coordinator.swarm import identity


class Event(StrEnum):
    BANG = "bang"


def test_what_json_lacks(tmp_path: Path) -> None:
    peer = identity(1).peer_id
    with EventLog(tmp_path / "events.jsonl") as log:
        log.write(
            Event.BANG, loss=float("nan"), peers=(peer,), digest=b"\x01", where=tmp_path, kind=Event.BANG, n={1: {2.0}}
        )
        text = (tmp_path / "events.jsonl").read_text()  # before the file is closed
    entry = json.loads(text)
    assert entry.pop("time") > 1e9
    assert entry == {
        "event": "bang",
        "loss": None,
        "peers": [str(peer)],
        "digest": "01",
        "where": str(tmp_path),
        "kind": "bang",
        "n": {"1": [2.0]},
    }


def test_a_torn_line_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "to')
    with JsonLines(path) as lines:
        lines.append({"a": 1})
    with JsonLines(path) as lines:
        lines.append({"a": 2})
    assert path.read_text().splitlines()[1:] == ['{"a":1}', '{"a":2}']


def test_a_full_disk_is_told_once_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    full = Path("/dev/full")
    if not full.exists():  # only Linux has it
        return
    lines = JsonLines(full)
    for _ in range(3):
        lines.append({"a": "x" * 10000})
    lines.close()
    assert len([record for record in caplog.records if "lines are lost" in record.message]) == 1


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        EventLog(tmp_path / "file" / "events.jsonl")
