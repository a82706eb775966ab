"""The log of events: every line is JSON and on disk at once, whatever is written, and after a writer was killed."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest

from btard.errors import UserError
from btard.swarm.events.event import Event
from btard.swarm.events.log import EventLog, JsonLines
from tests.peer.helpers import PEERS


class Word(StrEnum):
    HAPPENED = "happened"


@dataclass(frozen=True, kw_only=True)
class Happened(Event):
    event: Literal["happened"] = "happened"
    step: int = 3
    text: str = "a\nb"


def lines(path: Path) -> list[dict[str, Any]]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "events.jsonl"


def test_an_event_has_its_time_its_name_and_its_fields(path: Path) -> None:
    log = EventLog[Happened](path)
    log.write(Happened())
    (event,) = lines(path)  # before it is closed
    assert abs(event.pop("time") - time.time()) < 60
    assert event == {"event": "happened", "step": 3, "text": "a\nb"}


@pytest.mark.parametrize(
    "value, written",
    [
        (float("nan"), None),
        (float("inf"), None),
        ([1.5, float("nan"), (2,)], [1.5, None, [2]]),
        ({"a": {"b": -float("inf")}}, {"a": {"b": None}}),
        ({1: True}, {"1": True}),
        (b"\x01\xff", "01ff"),
        (frozenset({2, 1}), [1, 2]),
        (Word.HAPPENED, "happened"),
        ({1: {2.0}}, {"1": [2.0]}),
        (Path("/a/b"), "/a/b"),
        (PEERS[0], str(PEERS[0])),
        (10**30, 10**30),
        (None, None),
        ("\N{SNOWMAN}", "\N{SNOWMAN}"),
    ],
    ids=repr,
)
def test_whatever_is_written_is_json(path: Path, value: Any, written: Any) -> None:
    JsonLines(path).append({"value": value})
    assert lines(path)[0]["value"] == written


def test_a_restarted_peer_goes_on_in_the_same_file(path: Path) -> None:
    for number in range(3):
        with JsonLines(path) as log:
            log.append({"number": number})
    assert lines(path) == [{"number": 0}, {"number": 1}, {"number": 2}]


def test_a_line_that_was_cut_by_a_crash_spoils_no_other(path: Path) -> None:
    with JsonLines(path) as log:
        log.append({"number": 0})
    with path.open("a") as file:
        file.write('{"numb')
    with JsonLines(path) as log:
        log.append({"number": 1})
    whole, torn, new = path.read_text().splitlines()
    assert (json.loads(whole), torn, json.loads(new)) == ({"number": 0}, '{"numb', {"number": 1})


def test_after_closing_lines_are_dropped(path: Path) -> None:
    log = EventLog[Happened](path)
    log.close()
    log.close()
    log.write(Happened())
    assert lines(path) == []


def test_a_full_disk_costs_lines_and_one_complaint(caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog[Happened](Path("/dev/full"))
    for _ in range(3):
        log.write(Happened())
    log.close()
    assert [record.getMessage() for record in caplog.records if "lines are lost" in record.getMessage()] == [
        "cannot write /dev/full: No space left on device; lines are lost"
    ]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="give a writable --directory"):
        EventLog(tmp_path / "file" / "events.jsonl")
