"""Peers that start before their coordinator, as real processes, whichever way its address is written."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from btard.identity import IdentityKey
from tests.peer.test_daemon import DEADLINE, Program, programs, until

__all__ = ["programs"]


@pytest.mark.slow
@pytest.mark.swarm
def test_a_coordinator_may_start_after_its_peers(tmp_path: Path, programs: list[Program]) -> None:
    home = tmp_path / "coordinator"
    home.mkdir()
    key = IdentityKey.load_or_create(home / "identity.key")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for name, address in (("a", f"127.0.0.1:{port}"), ("b", f"/ip4/127.0.0.1/tcp/{port}/p2p/{key.peer_id}")):
        words = ("--initial-peers", address, "--host", "127.0.0.1", "--threads", "1", "--directory", tmp_path / name)
        programs.append(Program(tmp_path / f"{name}.log", "btard-peer", *words))
    peers = list(programs)
    for peer in peers:
        until(lambda peer=peer: "trying for" in peer.log.read_text(), peer)
    words = f"--experiment x --task digits --host 127.0.0.1 --dht-port {port} --peers 2 --total-steps 3".split()
    programs.append(Program(tmp_path / "coordinator.log", "btard-coordinator", *words, "--directory", home))
    for program in programs:
        assert program.process.wait(DEADLINE) == 0, program.log.read_text()
    for peer in peers:
        assert peer.log.read_text().count("trying for") == 1, "it says once what it waits for"
