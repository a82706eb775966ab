"""`btard roster`: every change of membership that a log tells, once, in order, with its reason and its proof."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from btard.cli import main as program
from btard.cli.roster import main
from btard.errors import UserError
from btard.swarm.events.log import EventLog
from tests.swarm.events.lines import coordinator_line, peer_line

A, B, C, D, E = (f"12D3KooW{letter * 44}" for letter in "abcde")


def write(directory: Path, *events: dict[str, Any]) -> Path:
    with EventLog(directory / "events.jsonl") as log:
        for fields in events:
            log.append({"time": 1.0, **fields})
    return directory


def told(directory: Path, capsys: pytest.CaptureFixture[str]) -> list[tuple[Any, ...]]:
    """Return what `--json` prints as (step, peer, what, reason, evidence)."""
    assert main([str(directory), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(list(line) == ["step", "peer", "what", "reason", "evidence"] for line in lines)
    return [tuple(line.values()) for line in lines]


BEGIN = peer_line("joined", peer=A, step=0, members=[A, B, C, D], banned=[])
FIRST = "in the roster that this log begins with"
OUT = "while the peer of this log was out"
JOINED = [(0, peer, "joined", FIRST, None) for peer in (A, B, C, D)]


def test_a_ban_a_suspension_and_a_goodbye_are_told_once_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        tmp_path,
        BEGIN,
        peer_line("step", step=0, members=4, roster="00"),
        peer_line("banned", peer=B, step=3, reason="lied", evidence="bans/b.json"),
        peer_line("void", step=3, suspended=[[C, "is slow"]], banned=[[B, "lied"]], left=[]),
        peer_line("void", step=5, attempt=0, suspended=[], banned=[], left=[D]),
        peer_line("admitted", peer=C, step=7, probation=27),
        peer_line("finished", step=9),
    )  # fmt: skip
    assert told(tmp_path, capsys) == [
        *JOINED,
        (3, B, "banned", "lied", "bans/b.json"),
        (3, C, "suspended", "is slow", None),
        (5, D, "left", "by its own word", None),
        (7, C, "joined", "admitted by the members, on probation until step 27", None),
    ]


def test_what_a_peer_has_missed_while_it_was_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        tmp_path,
        BEGIN,
        peer_line("void", step=2, suspended=[[A, "did not answer"]], banned=[], left=[]),
        peer_line("stopped", step=2, kind="suspended", reason="did not answer"),
        peer_line("banned", peer=B, step=4, reason="lied", evidence="bans/b.json"),
        {**BEGIN, "step": 9, "members": [A, C, E], "banned": [B]},
    )
    assert told(tmp_path, capsys) == [
        *JOINED,
        (2, A, "suspended", "did not answer", None),
        (4, B, "banned", "lied", "bans/b.json"),
        (9, D, "left", OUT, None),
        (9, E, "joined", OUT, None),
        (9, A, "joined", "admitted by the members", None),
    ]


@pytest.mark.parametrize(
    ("events", "line"),
    [
        ([peer_line("left", step=4, reason="shutdown")], (4, A, "left", "shutdown", None)),
        (
            [peer_line("stopped", step=4, kind="no majority", reason="")],
            (4, A, "suspended", "no majority", None),
        ),
        (
            [
                peer_line("banned", peer=A, step=4, reason="lied", evidence="a.json"),
                peer_line("stopped", step=4, kind="banned", reason="lied"),
            ],
            (4, A, "banned", "lied", "a.json"),
        ),
    ],
)
def test_how_the_peer_of_the_log_itself_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], events: list[dict[str, Any]], line: tuple[Any, ...]
) -> None:
    assert told(write(tmp_path, BEGIN, *events), capsys) == [*JOINED, line]


def test_the_log_of_a_coordinator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        tmp_path,
        coordinator_line("started", peer=E, run_id="00"),
        coordinator_line("welcomed", peer=A, count=1, wanted=2),
        coordinator_line("genesis", step=0, members=[A, B, C]),
        coordinator_line("banned", peer=B, step=6),
        coordinator_line("verified", peer=B, step=4, words="lied", evidence="b.json"),
        coordinator_line("left", peer=C, step=8),
        coordinator_line("joined", peer=C, step=11),
        coordinator_line("banned", peer=C, step=12),
        coordinator_line("unproven", peer=C, step=13),
        coordinator_line("finished", step=20, members=1, banned=[B, C]),
    )  # fmt: skip
    assert told(tmp_path, capsys) == [
        *((0, peer, "joined", "first roster", None) for peer in (A, B, C)),
        (4, B, "banned", "lied", "b.json"),
        (8, C, "left", "", None),
        (11, C, "joined", "", None),
        (12, C, "banned", "no member proves it", None),
    ]


def test_people_read_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    banned = peer_line("banned", peer=B, step=3, reason="lied", evidence="bans/b.json")
    assert program.main(["roster", str(write(tmp_path, BEGIN, banned))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[-1] == f"step      3  banned     {B}  lied  evidence bans/b.json"


def test_half_a_line_and_strange_events_change_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        tmp_path,
        BEGIN,
        {"event": "void", "step": "three", "banned": [[B, "x"]]},
        {"event": "void", "step": 3, "banned": [[B], None, [1, 2]], "suspended": 7, "left": [None]},
        {"event": "banned", "peer": None, "step": 3},
        {"event": "admitted"},
        {"event": "joined", "peer": 5, "step": 3, "members": "all"},
        {"event": None},
    )
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'[1]\n\xff\xfe\n{"event": "ban')
    assert told(tmp_path, capsys) == JOINED


@pytest.mark.parametrize("said", ["nothing", "no log", "no events", "a file"])
def test_what_is_wrong_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], said: str) -> None:
    directory = tmp_path / "run"
    if said != "nothing":
        directory.touch() if said == "a file" else directory.mkdir()
    if said == "no events":
        (directory / "events.jsonl").write_text('{"event": "started"}\n')
    assert program.main(["roster", str(directory)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    wanted = "tells nothing about a roster" if said == "no events" else "give the directory of a peer or a coordinator"
    assert captured.err.startswith("btard: ") and wanted in captured.err


def test_a_log_of_nothing_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").touch()
    with pytest.raises(UserError, match=r"events\.jsonl tells nothing"):
        main([str(tmp_path)])
