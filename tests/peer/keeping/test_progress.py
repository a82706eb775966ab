from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from btard.hashing import digest
from btard.peer.keeping.progress import Progress
from btard.round.roster import Roster
from tests.peer.helpers import PEERS, ROSTER

RUN, OTHER = "a" * 32, "b" * 32
STATE = digest(b"state")


def at(step: int) -> Roster:
    return replace(ROSTER, step=step)


def begun(path: Path, *steps: int, incarnation: int = 0) -> Progress:
    progress = Progress(path, RUN)
    for step in steps:
        progress.begin(at(step), STATE, incarnation)
    return progress


def test_the_last_step_survives_a_restart_of_the_same_run_only(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    assert Progress(path, RUN).step == -1
    begun(path, 5, 7)
    again = Progress(path, RUN)
    assert (again.step, again.incarnation, again.roster) == (7, 0, at(7))
    assert again.memory is not None and [place.step for place in again.memory.places] == [5, 7]
    other = Progress(path, OTHER)
    assert (other.step, other.roster, other.memory, other.restarted) == (-1, None, None, False)


def test_no_step_is_begun_twice_in_an_incarnation(tmp_path: Path) -> None:
    progress, me = begun(tmp_path / "progress", 7, incarnation=2), PEERS[0]
    assert not progress.may_begin(at(7), me, 2) and not progress.may_begin(at(99), me, 1)
    assert progress.may_begin(at(8), me, 2) and progress.may_begin(at(3), me, 3)
    assert not progress.may_begin(at(8), PEERS[5], 2), "no member"


def test_what_is_lost_is_forgotten_when_the_run_goes_on(tmp_path: Path) -> None:
    progress = begun(tmp_path / "progress", 5, 6, 7)
    progress.begin(at(6), digest(b"other"), 1)
    again = Progress(tmp_path / "progress", RUN)
    assert (again.incarnation, again.step) == (1, 6)
    assert again.memory is not None and [place.step for place in again.memory.places] == [5, 6]
    assert again.memory.places[-1].state == digest(b"other")


def test_a_long_run_is_remembered_at_round_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("btard.peer.keeping.progress.write_durably", lambda *_: None)
    memory = begun(tmp_path / "progress", *range(6000)).memory
    assert memory is not None and len(memory.encode()) < 16 << 10
    steps = [place.step for place in memory.places]
    assert steps[-64:] == list(range(5936, 6000)) and all(step % 64 == 0 for step in steps[:-64])
    assert steps[0] < 6000 - 60 * 64


def test_a_file_torn_anywhere_says_that_steps_may_be_begun(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    begun(path, 4)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        torn = Progress(path, RUN)
        assert (torn.step, torn.roster, torn.restarted) == (-1, None, True)
    for byte in range(0, len(whole), 7):
        path.write_bytes(whole[:byte] + bytes([whole[byte] ^ 1]) + whole[byte + 1 :])
        changed = Progress(path, RUN)
        assert (changed.step, changed.roster, changed.restarted) == (-1, None, True)


def test_a_lost_file_is_told_from_one_that_never_was(tmp_path: Path) -> None:
    assert Progress(tmp_path / "progress", RUN, traces=True).restarted
    assert not Progress(tmp_path / "progress", RUN).restarted


@pytest.mark.parametrize(("run", "step"), [(RUN, 7), (OTHER, -1)])
def test_the_words_of_earlier_releases_are_read(tmp_path: Path, run: str, step: int) -> None:
    path = tmp_path / "progress"
    path.write_text(f"{run} 7\n")
    old = Progress(path, RUN)
    assert (old.step, old.memory, old.restarted) == (step, None, run == RUN)


def test_a_full_disk_costs_a_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    progress = begun(tmp_path / "missing" / "progress", 3)
    assert progress.step == 3
    assert "cannot write" in caplog.text


def test_a_peer_that_dies_while_it_writes_knows_the_step_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "progress"
    progress = begun(path, 3)

    def dies(descriptor: int) -> None:
        raise SystemExit

    monkeypatch.setattr("os.fsync", dies)
    with pytest.raises(SystemExit):
        progress.begin(at(4), STATE)
    assert Progress(path, RUN).step == 3


def test_what_a_restarted_peer_first_hears_of_may_be_begun(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    begun(path, 4)
    stale = Progress(path, RUN)
    stale.saw(at(7), STATE)
    assert stale.step == 8 and Progress(path, RUN).step == 8, "it may have been a step ahead of most"
    stale.saw(at(9), STATE)
    assert stale.step == 8, "only the first counts: later ones have begun without it"
    path.write_bytes(b"")
    torn = Progress(path, RUN)
    torn.saw(at(7), STATE)
    assert torn.step == 8 and Progress(path, RUN).step == 8


def test_an_incarnation_seen_to_begin_was_not_begun_before(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    begun(path, 4)
    back = Progress(path, RUN)
    back.saw(at(4), STATE, 1, new=True)
    assert back.may_begin(at(4), PEERS[0], 1)
    unsure = Progress(path, RUN)
    unsure.saw(at(4), STATE, 1)
    assert not unsure.may_begin(at(4), PEERS[0], 1)


@pytest.mark.parametrize("other_run", [False, True])
def test_a_peer_that_is_new_in_the_run_may_begin_at_once(tmp_path: Path, other_run: bool) -> None:
    path = tmp_path / "progress"
    if other_run:
        Progress(path, OTHER).begin(at(5), STATE)
    fresh = Progress(path, RUN)
    fresh.saw(at(7), STATE)
    assert fresh.step == -1


def test_the_step_is_forced_to_the_disk_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forced: list[bool] = []
    path, force = tmp_path / "progress", os.fsync

    def noting(descriptor: int) -> None:
        forced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        assert path.exists() is forced[-1], "the file is forced before it takes its place, the directory after"
        force(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    begun(path, 3)
    assert forced == [False, True]
