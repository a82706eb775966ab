"""Events are typed on both sides of a log, and logs of the version before them are read as they were written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from btard.swarm.events.coordinator import CoordinatorEvent
from btard.swarm.events.log import EventLog
from btard.swarm.events.peer import PeerEvent
from btard.swarm.events.reading import EVENTS_FILE, parse_coordinator, parse_peer, read_log
from tests.swarm.events.lines import COORDINATOR_LINES, PEER_LINES, coordinator_line, peer_line

LOGS = [
    (peer_line, PEER_LINES, parse_peer, PeerEvent),
    (coordinator_line, COORDINATOR_LINES, parse_coordinator, CoordinatorEvent),
]
LINES = [(make(name), parse) for make, lines, parse, _ in LOGS for name in lines]
IDS = [f"{who} {name}" for who, (_, lines, _, _) in zip(("peer", "coordinator"), LOGS, strict=True) for name in lines]


@pytest.mark.parametrize(("line", "parse"), LINES, ids=IDS)
def test_an_event_is_written_as_it_was_read(tmp_path: Path, line: dict[str, Any], parse: Any) -> None:
    event = parse(json.dumps(line).encode())
    log: EventLog[Any]
    with EventLog(tmp_path / EVENTS_FILE) as log:
        timed = log.write(event)
    written = json.loads((tmp_path / EVENTS_FILE).read_text())
    assert list(written) == list(line)
    assert written == {**line, "time": timed.time} and timed.time > 1.0


@pytest.mark.parametrize(("_make", "lines", "_parse", "union"), LOGS, ids=["peer", "coordinator"])
def test_each_event_of_a_log_has_a_name_of_its_own(_make: Any, lines: dict[str, Any], _parse: Any, union: Any) -> None:
    assert [kind.event for kind in get_args(union)] == list(lines)


@pytest.mark.parametrize(("line", "parse"), LINES, ids=IDS)
def test_a_field_that_a_later_version_adds_is_passed_over(line: dict[str, Any], parse: Any) -> None:
    assert parse(json.dumps({**line, "later": [1]}).encode()) == parse(json.dumps(line).encode())


@pytest.mark.parametrize(("line", "parse"), LINES, ids=IDS)
def test_a_field_of_another_type_makes_the_line_no_event(line: dict[str, Any], parse: Any) -> None:
    for field, value in line.items():
        for wrong in ({"a": 1}, str(value) if not isinstance(value, str) else 1, [[value]]):
            assert parse(json.dumps({**line, field: wrong}).encode()) is None, (field, wrong)


@pytest.mark.parametrize("parse", [parse_peer, parse_coordinator])
@pytest.mark.parametrize(
    "line", [b"", b"\xff", b"[1]", b"null", b'{"event":"st', b'{"event":"new"}', b'{"event":{}}', b"[" * 10**5]
)
def test_what_is_no_event_is_none(line: bytes, parse: Any) -> None:
    assert parse(line) is None


def test_a_version_before_newcomers_is_read() -> None:
    line = peer_line("step")
    del line["newcomers"], line["validates"], line["state"]
    assert parse_peer(json.dumps(line).encode()) is not None


def test_the_lottery_bans_without_evidence() -> None:
    line = peer_line("banned")
    del line["offence"], line["evidence"]
    assert parse_peer(json.dumps(line).encode()) is not None


@pytest.mark.parametrize(("make", "lines", "parse", "_union"), LOGS, ids=["peer", "coordinator"])
def test_a_whole_log_is_read_as_whose_it_is(tmp_path: Path, make: Any, lines: Any, parse: Any, _union: Any) -> None:
    texts = [json.dumps(make(name)).encode() for name in lines]
    (tmp_path / EVENTS_FILE).write_bytes(b"\n".join([b'{"event":"hal', *texts, b'{"event":"fin']))
    assert read_log(tmp_path) == [parse(text) for text in texts]
