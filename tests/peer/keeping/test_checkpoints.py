"""What a peer keeps of its training state: whole or not at all, the newest two and every n-th, seldom enough."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from btard.durable import write_durably
from btard.hashing import digest
from btard.identity import Malformed
from btard.peer.keeping.cadence import Cadence
from btard.peer.keeping.checkpoints import Checkpoints
from btard.peer.keeping.record import KeptState
from btard.vectors.momentum import KeptLink
from tests.peer.helpers import ROSTER, RUN

OTHER_RUN = bytes(16)
LINK = KeptLink(4, bytes(8), b"\x01" * 8)


def kept(step: int, run: bytes = RUN, link: KeptLink | None = LINK) -> KeptState:
    state = b"state of %d" % step
    return KeptState(run, replace(ROSTER, step=step), digest(state), state, link)


def opened(folder: Path, keep_every: int = 0) -> Checkpoints:
    return Checkpoints(folder, RUN, Cadence(1), keep_every)


@pytest.mark.parametrize("link", [LINK, None])
def test_a_state_goes_round(link: KeptLink | None) -> None:
    assert KeptState.decode(kept(5, link=link).encode()) == kept(5, link=link)


def test_a_state_torn_or_changed_anywhere_is_none() -> None:
    whole = kept(5).encode()
    for length in range(len(whole)):
        with pytest.raises(Malformed):
            KeptState.decode(whole[:length])
    for byte in range(0, len(whole), 5):
        with pytest.raises(Malformed):
            KeptState.decode(whole[:byte] + bytes([whole[byte] ^ 1]) + whole[byte + 1 :])


async def test_the_newest_two_and_every_nth_stay(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path, keep_every=4)
    for step in range(1, 12):
        checkpoints.keep(kept(step))
    assert [place.step for place in checkpoints.places] == [11, 10, 8, 4]
    again = opened(tmp_path, keep_every=4)
    assert again.places == checkpoints.places and again.rosters == checkpoints.rosters
    assert await again.load(again.places[0]) == kept(11)


async def test_a_damaged_newest_leaves_the_one_before(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    checkpoints.keep(kept(1))
    checkpoints.keep(kept(2))
    newest = tmp_path / "step-000000000002.state"
    newest.write_bytes(newest.read_bytes()[:-1])
    assert await checkpoints.load(kept(2).place) is None and checkpoints.places == [kept(1).place]
    assert opened(tmp_path).places == [kept(1).place]


def test_states_of_another_run_are_left_alone(tmp_path: Path) -> None:
    Checkpoints(tmp_path, OTHER_RUN, Cadence(1), 0).keep(kept(3, OTHER_RUN))
    checkpoints = opened(tmp_path)
    assert checkpoints.places == []
    checkpoints.keep(kept(7))
    checkpoints.keep(kept(8))
    checkpoints.keep(kept(9))
    assert Checkpoints(tmp_path, OTHER_RUN, Cadence(1), 0).places == [kept(3, OTHER_RUN).place]


async def test_a_past_that_is_lost_goes(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    checkpoints.keep(kept(6))
    checkpoints.keep(kept(9))
    await checkpoints.go_back(kept(6).place)
    assert opened(tmp_path).places == [kept(6).place]


class SlowDisk:
    """A disk on which states are written once `free` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.free = threading.Event(), threading.Event()
        monkeypatch.setattr("btard.peer.keeping.checkpoints.write_durably", self._write)

    def _write(self, path: Path, data: bytes) -> None:
        self.begun.set()
        assert self.free.wait(60)
        write_durably(path, data)


async def test_a_lost_past_that_is_being_written_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = opened(tmp_path)
    checkpoints.keep(kept(6))
    disk = SlowDisk(monkeypatch)

    async def make() -> KeptState:
        return kept(9)

    await checkpoints.consider(9, make)
    await asyncio.to_thread(disk.begun.wait, 60)
    going = asyncio.ensure_future(checkpoints.go_back(kept(6).place))
    await asyncio.sleep(0)
    disk.free.set()
    await going
    await checkpoints.close()
    assert checkpoints.places == opened(tmp_path).places == [kept(6).place]


async def test_what_is_kept_changes_only_between_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others ask for it at any time: a thread that changed it meanwhile would end one of both with an exception."""
    checkpoints = opened(tmp_path)
    checkpoints.keep(kept(1))
    disk = SlowDisk(monkeypatch)

    async def make() -> KeptState:
        return kept(2)

    await checkpoints.consider(2, make)
    await asyncio.to_thread(disk.begun.wait, 60)
    look = iter(checkpoints.rosters.items())
    disk.free.set()
    while not (tmp_path / "step-000000000002.state").exists():
        time.sleep(0.001)  # noqa: ASYNC251 - the event loop stands still, the thread goes on
    time.sleep(0.05)  # noqa: ASYNC251 - enough for a thread that would note it
    assert [place.step for place, _ in look] == [1]
    await checkpoints.close()
    assert [place.step for place in checkpoints.places] == [2, 1]


async def test_a_file_that_stays_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = opened(tmp_path)
    checkpoints.keep(kept(6))
    checkpoints.keep(kept(9))

    def refuse(path: Path, *, missing_ok: bool) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    await checkpoints.go_back(kept(6).place)
    assert checkpoints.places == [kept(6).place]


async def test_states_are_written_beside_the_training(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path / "states")
    made: list[int] = []

    async def make() -> KeptState:
        made.append(len(made))
        return kept(len(made))

    await checkpoints.consider(1, make)
    await checkpoints.close()
    assert checkpoints.places == [kept(1).place]


async def test_a_disk_that_is_full_stops_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "states"
    blocked.touch()
    checkpoints = opened(blocked)

    async def make() -> KeptState:
        return kept(1)

    await checkpoints.consider(1, make)
    await checkpoints.close()
    assert "cannot keep the training state" in caplog.text and checkpoints.places == []


def test_what_keeping_costs_decides_how_often() -> None:
    cadence = Cadence(None)
    assert cadence.is_due(0), "nobody knows yet what it costs"
    cadence.took(1.0)
    cadence.cost(0.1)
    assert [step for step in range(20) if cadence.is_due(step)] == [0, 5, 10, 15]
    cadence.cost(1.0)
    assert cadence.interval == 64, "a long interval is one at whose steps all remember the state"
    for _ in range(60):
        cadence.took(100.0)
    cadence.cost(1.0)
    assert cadence.interval == 1


def test_a_pause_is_no_reason_to_keep_more_often() -> None:
    cadence = Cadence(None)
    cadence.took(1.0)
    cadence.took(3600.0)
    cadence.cost(0.1)
    assert cadence.interval == 5


def test_a_number_is_every_so_many_steps() -> None:
    cadence = Cadence(10)
    cadence.cost(100.0)
    assert [step for step in range(25) if cadence.is_due(step)] == [0, 10, 20]
    assert not Cadence(0).is_due(0)
