"""The attackers' channel: within a process and through a directory, also between processes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from btard.byzantine.channel import KEPT, Channel, DirectoryChannel, MemoryChannel, open_channel, wait_for
from btard.errors import UserError
from tests.btard.round.swarm import keys

A, B, C = (key.peer_id for key in keys(3))

OTHER_PROCESS = """
import sys
from pathlib import Path
from btard.identity import PeerId
from btard.byzantine.channel import DirectoryChannel

channel, me = DirectoryChannel(Path(sys.argv[1])), PeerId.parse(sys.argv[2])
channel.join(me)
channel.post(7, "gradient", me, bytes(100_000))
"""


@pytest.fixture(params=["memory", "directory"])
def channel(request: pytest.FixtureRequest, tmp_path: Path) -> Channel:
    return MemoryChannel() if request.param == "memory" else DirectoryChannel(tmp_path)


def test_a_channel_knows_each_peer_that_joins(channel: Channel) -> None:
    assert channel.members() == frozenset()
    for peer in (A, B, A):
        channel.join(peer)
    assert channel.members() == {A, B}


def test_notes_are_read_by_step_and_topic(channel: Channel) -> None:
    channel.post(3, "one", A, b"a")
    channel.post(3, "one", B, b"")
    channel.post(3, "one", A, b"again")
    channel.post(3, "other", C, b"c")
    assert channel.read(3, "one") == {A: b"again", B: b""}
    assert channel.read(3, "other") == {C: b"c"}
    assert channel.read(4, "one") == channel.read(3, "none") == {}


def test_old_notes_are_thrown_away(channel: Channel, tmp_path: Path) -> None:
    for step in range(100):
        channel.post(step, "gradient", A, bytes(10))
    assert [step for step in range(100) if channel.read(step, "gradient")] == list(range(100 - KEPT, 100))
    assert len(list(tmp_path.glob("step-*"))) <= KEPT


def test_waiting_ends_when_all_are_there_or_time_is_up(channel: Channel) -> None:
    channel.post(0, "x", A, b"a")
    assert wait_for(channel, 0, "x", 1, 60.0) == {A: b"a"}
    started = time.monotonic()
    assert wait_for(channel, 0, "x", 2, 0.1) == {A: b"a"}
    assert 0.1 <= time.monotonic() - started < 5.0


def test_a_name_is_one_channel_while_somebody_is_there() -> None:
    here, there = open_channel("memory:x"), open_channel("memory:y")
    here.join(A)
    assert open_channel("memory:x").members() == {A}
    assert there.members() == frozenset()
    del here
    assert open_channel("memory:x").members() == frozenset()


def test_without_a_place_everyone_is_alone() -> None:
    one, other = open_channel(None), open_channel(None)
    one.join(A)
    assert other.members() == frozenset()


def test_processes_meet_in_a_directory(tmp_path: Path) -> None:
    channel = open_channel(str(tmp_path / "colluders"))
    subprocess.run([sys.executable, "-c", OTHER_PROCESS, str(tmp_path / "colluders"), str(B)], check=True)
    assert channel.members() == {B}
    assert channel.read(7, "gradient") == {B: bytes(100_000)}


def test_what_does_not_belong_into_the_directory_is_ignored(tmp_path: Path) -> None:
    channel = DirectoryChannel(tmp_path)
    channel.post(1, "x", A, b"a")
    (tmp_path / "step-000000000001" / "x" / "notes.txt").write_text("not a peer's")
    (tmp_path / "step-000000000001" / "x" / f".{B}").write_text("not finished")
    assert channel.read(1, "x") == {A: b"a"}


def test_a_directory_that_goes_away_leaves_an_attacker_alone(tmp_path: Path) -> None:
    channel = DirectoryChannel(tmp_path / "gone")
    (tmp_path / "gone" / "members").rmdir()
    (tmp_path / "gone").rmdir()
    (tmp_path / "gone").touch()
    channel.join(A)
    channel.post(1, "x", A, b"a")
    assert channel.members() == frozenset() and channel.read(1, "x") == {}


def test_a_place_that_cannot_be_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="COLLUDE_AT"):
        open_channel(str(tmp_path / "file" / "below"))
