"""What members tell of themselves is kept within bounds, and of others only what most of them tell."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from btard.coordinator.run_directory import RunDirectory
from btard.coordinator.telemetry import peer_details as module
from btard.coordinator.telemetry.peer_details import DetailsBoard
from btard.swarm.records.details import Examination, Exclusion, Found, PeerDetails
from btard.swarm.records.record import Metrics
from btard.transport.stages import Stage
from tests.coordinator.conftest import Log
from tests.coordinator.swarm import ids, metrics, roster

A, B, C = ids(1, 2, 3)
TRUSTED = roster(10, 1, 2, 3)
LAST = 20


def details(step: int = 9, **changes: Any) -> PeerDetails:
    fields: dict[str, Any] = {
        "version": "0.1.0",
        "numerics": "torch",
        "bytes_sent": 5,
        "bytes_received": 6,
        "step": step,
        "stages": [0.1] * len(Stage),
        "examined": [],
        "excluded": [],
    }
    return PeerDetails.model_validate(fields | changes)


def record(told: PeerDetails | None) -> Metrics:
    return Metrics(steps=[metrics(9, loss=2.0)], details=told)


def out(step: int, peer: object, reason: str = "it was silent") -> Exclusion:
    return Exclusion(step=step, peer=str(peer), reason=reason)


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\u202e", "\x00"])
def test_a_text_that_a_terminal_would_obey_is_no_record(text: str) -> None:
    for change in ({"version": text}, {"numerics": text}):
        with pytest.raises(ValidationError, match="cannot be printed"):
            details(**change)
    with pytest.raises(ValidationError, match="cannot be printed"):
        out(9, B, text)


def test_the_latest_of_each_peer_is_in_a_file(directory: RunDirectory, log: Log) -> None:
    board = DetailsBoard(directory, log)
    board.take({A: record(details()), B: record(None), C: record(details(LAST + 1))}, TRUSTED, LAST)
    kept = json.loads(directory.peers_file.read_text())
    assert list(kept) == [str(A)]
    assert kept[str(A)]["stages"] == dict.fromkeys(Stage, 0.1)
    assert kept[str(A)]["loss"] == 2.0 and kept[str(A)]["bytes_sent"] == 5
    written = directory.peers_file.stat().st_mtime_ns
    board.take({A: record(details())}, TRUSTED, LAST)
    assert directory.peers_file.stat().st_mtime_ns == written


def test_findings_are_told_once_also_after_a_restart(directory: RunDirectory, log: Log) -> None:
    told = details(examined=[Examination(step=9, target=str(B), found=Found.DIFFERS)])
    DetailsBoard(directory, log).take({A: record(told)}, TRUSTED, LAST)
    DetailsBoard(directory, log).take({A: record(told)}, TRUSTED, LAST)
    (event,) = log.named("examined")
    assert (event["validator"], event["peer"], event["step"], event["found"]) == (str(A), str(B), 9, "differs")


def test_findings_of_steps_that_cannot_be_are_not_told(directory: RunDirectory, log: Log) -> None:
    told = details(examined=[Examination(step=LAST + 1, target=str(B), found=Found.SAME)])
    DetailsBoard(directory, log).take({A: record(told)}, TRUSTED, LAST)
    assert log.named("examined") == []


def test_only_most_members_can_say_that_a_peer_was_left_out(directory: RunDirectory, log: Log) -> None:
    board = DetailsBoard(directory, log)
    one = details(excluded=[out(8, C, "a lie")] * 3)
    board.take({A: record(one), B: record(details())}, TRUSTED, LAST)
    assert log.named("excluded") == []
    two = details(excluded=[out(8, C)])
    board.take({A: record(two), B: record(two)}, TRUSTED, LAST)
    board.take({A: record(two), B: record(two)}, TRUSTED, LAST)
    DetailsBoard(directory, log).take({A: record(two), B: record(two)}, TRUSTED, LAST)
    (event,) = log.named("excluded")
    assert (event["peer"], event["step"], event["reason"]) == (str(C), 8, "it was silent")


def test_what_names_no_peer_is_not_told(directory: RunDirectory, log: Log) -> None:
    told = details(excluded=[out(8, "1" * 52)])
    DetailsBoard(directory, log).take({A: record(told), B: record(told)}, TRUSTED, LAST)
    assert log.named("excluded") == []


def test_the_memory_is_bounded(directory: RunDirectory, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PEERS", 2)
    board = DetailsBoard(directory, log)
    board.take({peer: record(details()) for peer in (A, B, C)}, TRUSTED, LAST)
    assert len(json.loads(directory.peers_file.read_text())) == 2
