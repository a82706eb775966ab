from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from btard.peer.progress import Progress


def test_the_last_step_survives_a_restart_of_the_same_run_only(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    first = Progress(path, "a" * 32)
    assert first.step == -1
    first.begin(7)
    first.begin(5)
    assert first.step == 7
    assert Progress(path, "a" * 32).step == 7
    assert Progress(path, "b" * 32).step == -1


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a b c", b"a" * 32 + b" -3", b"a" * 32 + b" x"])
def test_a_damaged_file_says_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "progress"
    path.write_bytes(content)
    assert Progress(path, "a" * 32).step == -1


def test_a_full_disk_costs_a_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    progress = Progress(tmp_path / "missing" / "progress", "a" * 32)
    progress.begin(3)
    assert progress.step == 3
    assert "cannot write" in caplog.text


def test_a_peer_that_dies_while_it_writes_knows_the_step_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "progress"
    progress = Progress(path, "a" * 32)
    progress.begin(3)

    def dies(descriptor: int) -> None:
        raise SystemExit

    monkeypatch.setattr("os.fsync", dies)
    with pytest.raises(SystemExit):
        progress.begin(4)
    assert Progress(path, "a" * 32).step == 3


def test_what_a_restarted_peer_first_hears_of_may_be_begun(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    Progress(path, "a" * 32).begin(4)
    stale = Progress(path, "a" * 32)
    stale.saw(7, member=True)
    assert stale.step == 7 and Progress(path, "a" * 32).step == 7
    stale.saw(9, member=True)
    assert stale.step == 7, "only the first counts: later ones have begun without it"
    path.write_bytes(b"")
    torn = Progress(path, "a" * 32)
    torn.saw(7, member=True)
    assert torn.step == 7


def test_one_that_has_lost_its_place_may_begin_when_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    Progress(path, "a" * 32).begin(4)
    gone = Progress(path, "a" * 32)
    gone.saw(7, member=False)
    gone.saw(8, member=True)
    assert gone.step == 4


@pytest.mark.parametrize("content", [None, b"b" * 32 + b" 5"])
def test_a_peer_that_is_new_in_the_run_may_begin_at_once(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "progress"
    if content is not None:
        path.write_bytes(content)
    fresh = Progress(path, "a" * 32)
    fresh.saw(7, member=True)
    assert fresh.step == -1


def test_the_step_is_forced_to_the_disk_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forced: list[bool] = []
    path, force = tmp_path / "progress", os.fsync

    def noting(descriptor: int) -> None:
        forced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        assert path.exists() is forced[-1], "the file is forced before it takes its place, the directory after"
        force(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    Progress(path, "a" * 32).begin(3)
    assert forced == [False, True]
