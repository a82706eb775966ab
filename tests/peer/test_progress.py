from __future__ import annotations

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

    def dies(file: Path, text: str, encoding: str) -> int:
        file.write_bytes(b"")
        raise SystemExit

    monkeypatch.setattr(Path, "write_text", dies)
    with pytest.raises(SystemExit):
        progress.begin(4)
    assert Progress(path, "a" * 32).step == 3
