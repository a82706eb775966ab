"""`btard status` on a real coordinator, and on addresses where none is."""

from __future__ import annotations

import json
import socket
import subprocess
from dataclasses import replace

import pytest

from btard.cli.main import main
from btard.cli.status import headline, stage_headline, stage_table, table
from btard.peer.visit.overview import overview
from btard.peer.visit.stages import StageOverview
from btard.swarm.records.stages import StageRow
from tests.peer.test_daemon import BIN
from tests.peer.visit.test_overview import MEMBERS, report, sight


@pytest.mark.swarm
def test_a_waiting_coordinator_as_table_and_json(address: str) -> None:
    def status(*words: str) -> str:
        return subprocess.run(
            [BIN / "btard", "status", "--initial-peers", address, *words], capture_output=True, text=True, check=True
        ).stdout

    assert "test (digits tiny): waiting for the first roster: 0 of 2 are here" in status()
    found = json.loads(status("--json"))
    assert (found["experiment"], found["step"], found["peers"], found["bans"]) == ("test", None, [], [])


def test_what_is_shown_of_stages() -> None:
    from rich.console import Console

    rows = (
        StageRow(stage=0, blocks=2, peer=str(MEMBERS[0]), step=7, seconds=0.5, sent_bytes=135_768, received_bytes=70),
        StageRow(stage=1, blocks=1, peer="", passed_by=3, alarms=2),
    )
    found = StageOverview("a", "b", "c", "gpt tiny", 7, 20, False, 1.5, 2.0, 4, None, (1,), (), rows, ())
    assert stage_headline(found).splitlines() == [
        "a (gpt tiny), stages of 2-1 blocks: step 7 of 20, seating 4, loss 1.5000, 2.0 samples/s",
        "coordinator c",
        "training waits for peers of stages 1",
    ]
    assert "finished after step 7" in stage_headline(replace(found, finished=True))
    assert "before the first step of 20" in stage_headline(replace(found, step=None))
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(stage_table(found))
    cells = [line.split() for line in console.export_text().splitlines()]
    assert [str(MEMBERS[0])[-6:], "7", "0.50", "s", "135.8", "kB", "0.1", "kB", "0", "0", "0"] in [c[1:] for c in cells]
    assert ["1", "-", "-", "-", "-", "-", "0", "2", "3"] in cells
    beside = tuple(row.model_copy(update={"replica": replica}) for replica in range(4) for row in rows)
    several = replace(found, stages=beside, lost=(3,))
    assert "(gpt tiny), 4 pipelines with stages of 2-1 blocks" in stage_headline(several)
    assert "training waits for peers of stage 1 of pipeline 1" in stage_headline(several)
    console.print(stage_table(several))
    assert ["3", "1", "-", "-", "-", "-", "-", "0", "2", "3"] in [
        line.split() for line in console.export_text().splitlines()
    ]


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    assert main(["status", "--initial-peers", address]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert address in line and "refuses the connection" in line


def test_no_address_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 2
    assert "--initial-peers is missing" in capsys.readouterr().err


def test_what_the_table_shows() -> None:
    from rich.console import Console

    found = overview(sight(metrics={MEMBERS[0]: report(6, 1.5)}))
    assert "step 7 of 20, 4 members, median loss 1.5000, 2.0 samples/s" in headline(found)
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(table(found))
    text = console.export_text()
    assert MEMBERS[0].short in text and "probation until 20" in text and "1.5000" in text
