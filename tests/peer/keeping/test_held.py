"""States that nobody else may have: held until they are stored, across restarts, within bounds, never silently lost."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from btard.hashing import digest
from btard.peer.keeping import handing_over, held
from btard.peer.keeping.handing_over import hand_over
from btard.peer.keeping.held import IN_MEMORY, HeldStates
from btard.peer.keeping.record import KeptState
from btard.swarm.questions import MAX_SNAPSHOTS
from btard.swarm.records.record import RosterRecord
from btard.vocabulary import ExitCode
from tests.peer.helpers import ROSTER, RUN

LAST = 500


def state(step: int, run: bytes = RUN) -> KeptState:
    data = b"state of %d" % step
    return KeptState(run, replace(ROSTER, step=step), digest(data), data)


def opened(folder: Path) -> HeldStates:
    return HeldStates(folder, RUN, LAST)


async def hold(states: HeldStates, *steps: int) -> HeldStates:
    for step in steps:
        await states.hold(state(step))
    return states


def files(folder: Path) -> list[int]:
    """The steps whose states are on the disk."""
    return sorted(int(path.stem.removeprefix("step-")) for path in folder.iterdir()) if folder.exists() else []


async def test_what_is_not_stored_is_held_the_older_on_disk(tmp_path: Path) -> None:
    states = await hold(opened(tmp_path), 5, 10, 15, 20)
    assert list(states.digests) == [5, 10, 15, 20] and files(tmp_path) == [5, 10]
    assert [await states.load(step) for step in (5, 10, 15, 20)] == [state(step).state for step in (5, 10, 15, 20)]
    assert await states.load(25) is None


async def test_what_is_stored_is_let_go(tmp_path: Path) -> None:
    states = await hold(opened(tmp_path), 5, 10, 15, 20)
    assert states.waits
    states.release(15)
    assert files(tmp_path) == [] and list(states.digests) == [15, 20] and states.waits
    states.release(20)
    assert not states.waits
    await hold(states, 25, 30)
    assert files(tmp_path) == [] and list(states.digests) == [25, 30], "what was stored is not written"


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    await hold(opened(tmp_path), 5, 10, 15, LAST)
    (tmp_path / "step-000000000007.state").write_bytes(b"torn")
    (tmp_path / "step-000000000008.state").write_bytes(state(8, bytes(16)).encode())
    again = opened(tmp_path)
    assert list(again.digests) == [5, 10, LAST] and again.waits
    assert await again.load(LAST) == state(LAST).state


async def test_the_last_state_is_on_the_disk_at_once(tmp_path: Path) -> None:
    states = await hold(opened(tmp_path), LAST)
    assert files(tmp_path) == [LAST] and str(states.path(LAST)) in states.where(LAST)


async def test_a_past_that_is_lost_is_not_held(tmp_path: Path) -> None:
    states = await hold(opened(tmp_path), 5, 10, 15, 20, 25)
    await hold(states, 10)
    assert list(states.digests) == [5, 10] and files(tmp_path) == [5]


async def test_a_file_that_changes_is_not_served(tmp_path: Path) -> None:
    states = await hold(opened(tmp_path), 5, 10, 15)
    states.path(5).write_bytes(state(6).encode())
    assert await states.load(5) is None and 5 not in states.digests


async def test_the_oldest_go_when_there_are_too_many(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    states = await hold(opened(tmp_path), *range(1, MAX_SNAPSHOTS + 3))
    assert list(states.digests) == list(range(3, MAX_SNAPSHOTS + 3))
    assert len(files(tmp_path)) == MAX_SNAPSHOTS - IN_MEMORY
    assert "does not hold the state before step 1 any more" in caplog.text


async def test_or_take_too_much_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "MOST_BYTES", 2 * len(state(25).encode()))
    states = await hold(opened(tmp_path), 5, 10, 15, 20, 25)
    assert list(states.digests) == [10, 15, 20, 25] and files(tmp_path) == [10, 15]


async def test_a_full_disk_is_told_and_spares_the_last_state(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "held"
    folder.write_text("a file where a folder should be")
    states = await hold(opened(folder), 5, 10, 15, LAST)
    assert list(states.digests) == [15, LAST]
    assert "does not hold the state before step 5 any more: it cannot be written" in caplog.text
    assert await states.load(LAST) == state(LAST).state and "memory" in states.where(LAST)


async def test_it_looks_until_all_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "LOOK_SECONDS", 0.0)
    told = iter((None, *(RosterRecord.of(ROSTER, stored=stored) for stored in (4, 9, 10))))

    async def look() -> RosterRecord | None:
        return next(told)

    states = await hold(opened(tmp_path), 5, 10)
    running = asyncio.ensure_future(states.run(look))
    for _ in range(40):
        await asyncio.sleep(0)
    assert not states.waits
    assert not running.done() and next(told, None) is None, "nothing is looked for any more"
    running.cancel()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handing_over, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(handing_over, "TELL_SECONDS", 0.0)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("stored", "code", "left"), [(LAST, ExitCode.FINISHED, []), (LAST - 1, ExitCode.FAILED, [LAST])]
)
async def test_a_peer_ends_as_its_last_state_is_stored_or_not(
    tmp_path: Path, stored: int, code: ExitCode, left: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    told = iter((None, RosterRecord.of(ROSTER), RosterRecord.of(ROSTER, finished=True, stored=stored)))

    async def look() -> RosterRecord | None:
        return next(told)

    states = await hold(opened(tmp_path), LAST)
    assert await hand_over(states, look, LAST, 60.0) is code
    assert files(tmp_path) == left
    waiting = [record for record in caplog.records if record.getMessage().startswith("waiting for the coordinator")]
    assert len(waiting) == 2 and str(states.path(LAST)) in waiting[0].getMessage()


@pytest.mark.usefixtures("_impatient")
async def test_a_peer_that_gives_up_says_where_the_state_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def look() -> RosterRecord | None:
        return None

    states = await hold(opened(tmp_path), LAST)
    caplog.set_level(logging.ERROR)
    assert await hand_over(states, look, LAST, 0.01) is ExitCode.FAILED
    assert f"nobody has stored the state after the last step; it is in {states.path(LAST)}" in caplog.text
    assert files(tmp_path) == [LAST]
