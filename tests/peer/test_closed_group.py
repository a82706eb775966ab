"""A run of listed keys, as real processes: those train, and a peer with another key is told so and ends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from btard.identity import IdentityKey
from tests.peer.test_daemon import DEADLINE, Program, programs, until

__all__ = ["programs"]


@pytest.mark.slow
@pytest.mark.swarm
def test_a_closed_group_trains_among_itself(tmp_path: Path, programs: list[Program]) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    a, b, c = (IdentityKey.load_or_create(tmp_path / name / "identity.key").peer_id for name in "abc")
    (tmp_path / "members").write_text(f"# two of us\n{a}\n{b} # on the same machine\n")
    words = "--experiment closed --task digits --host 127.0.0.1 --dht-port 0 --peers 2 --total-steps 5"
    places = ("--directory", tmp_path / "coordinator", "--members", tmp_path / "members")
    coordinator = Program(tmp_path / "coordinator.log", "btard-coordinator", *words.split(), *places)
    programs.append(coordinator)
    address = until(lambda: re.search(r"--initial-peers (\S+)", coordinator.log.read_text()), coordinator).group(1)
    for name in "cab":
        words = ["--initial-peers", address, "--host", "127.0.0.1", "--threads", "1", "--directory", tmp_path / name]
        programs.append(Program(tmp_path / f"{name}.log", "btard-peer", *words))
    assert [program.process.wait(DEADLINE) for program in programs] == [0, 2, 0, 0]
    said = (tmp_path / "c.log").read_text().splitlines()[-1]
    assert str(c) in said and "is not among the 2 that the run closed admits" in said
