"""`btard status` on a real coordinator, and on addresses where none is."""

from __future__ import annotations

import json
import socket
import subprocess

import pytest

from btard.cli.main import main
from btard.cli.status import headline, table
from btard.peer.visit.overview import overview
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
