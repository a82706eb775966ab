"""`btard doctor` as a user runs it: a coordinator that is fine, ports where none is, and input that is none."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from btard.cli.main import main
from tests.peer.test_daemon import BIN


def doctor(*words: str | Path) -> tuple[int, dict[str, dict[str, str]]]:
    """Run it; return the exit code, and the findings by check."""
    result = subprocess.run(
        [BIN / "btard", "doctor", "--json", "--timeout", "5", *map(str, words)], capture_output=True, text=True
    )
    assert result.stderr == ""
    found = [json.loads(line) for line in result.stdout.splitlines()]
    return result.returncode, {finding["check"]: finding for finding in found}


@pytest.mark.swarm
def test_a_machine_that_is_fit_for_a_real_swarm(address: str, tmp_path: Path) -> None:
    code, found = doctor("--initial-peers", address, "--host", "127.0.0.1", "--directory", tmp_path, "--device", "cpu")
    outcomes = {name: finding["outcome"] for name, finding in found.items()}
    untested = {name for name, outcome in outcomes.items() if outcome == "untested"}
    assert (code, untested) == (0, {"dial back", "tolerance", "numerics"})
    assert {name for name, outcome in outcomes.items() if outcome == "ok"} == {
        *("p2pd", "directory", "limits", "initial peer", "p2p network", "run", "data", "announced address", "clock"),
        *("memory", "device", "list of members"),
    }
    assert "protocols not supported" in found["dial back"]["sentence"]


@pytest.mark.swarm
def test_a_wrong_corpus_and_a_wrong_coordinator_key_are_named(address: str, tmp_path: Path) -> None:
    code, found = doctor("--initial-peers", address, "--directory", tmp_path, "--tokenizer", "x")
    assert code == 1 and found["data"]["outcome"] == "failed"
    host, _, port = address.rpartition(":")
    other = "12D3KooWKo8kjfkyDZqC34ukMCmsJez9PL8yb9e1iHjrJkdmFejn"
    code, found = doctor("--initial-peers", f"/ip4/{host}/tcp/{port}/p2p/{other}", "--directory", tmp_path)
    assert code == 1 and "another peer answers" in found["initial peer"]["sentence"]


def test_a_server_that_is_no_peer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=talk, daemon=True).start()
        code, found = doctor("--initial-peers", f"127.0.0.1:{server.getsockname()[1]}", "--directory", tmp_path)
        server.shutdown(socket.SHUT_RDWR)
    assert code == 1 and "is no libp2p peer" in found["initial peer"]["sentence"]
    assert found["network"]["outcome"] == "untested"


def test_a_taken_port_and_a_misleading_address_are_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, found = doctor("--host", "127.0.0.1", "--port", str(port), "--directory", tmp_path)
        assert code == 1 and "already in use" in found["p2p network"]["sentence"]
        taken = f"/ip4/127.0.0.1/tcp/{port}"
        server.settimeout(0.1)
        code, found = doctor("--host", "127.0.0.1", "--announce", taken, "--directory", tmp_path)
        assert code == 1 and "no libp2p peer" in found["own address"]["sentence"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--initial-peers", "nonsense"], "--initial-peers is 'nonsense', but must be an address"),
        (["--announce", "not an address"], "--announce is 'not an address'"),
        (["--host", "nowhere"], "--host is 'nowhere'"),
        (["--prot", "1"], "perhaps --port was meant"),
    ],
)
def test_bad_input(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("btard: ") and sentence in line
