"""What a peer has reported outlives it: after kill -9 all of it, of its own run, bounded, whatever the file holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from btard.peer.keeping import reports as module
from btard.peer.keeping.reports import KeptReports
from btard.swarm.records.record import LocalMetrics

RUN, OTHER = "ab" * 16, "cd" * 16


def report(step: int, samples: int = 8) -> LocalMetrics:
    return LocalMetrics(step=step, samples_per_second=2.5, samples_accumulated=samples, loss=None, mini_steps=1)


def opened(folder: Path, run: str = RUN) -> KeptReports:
    return KeptReports(folder / "reports.jsonl", run)


def told(reports: KeptReports) -> list[int]:
    return [each.step for each in reports]


def test_a_killed_peer_knows_what_it_has_reported(tmp_path: Path) -> None:
    ours = opened(tmp_path)
    for step in range(5):
        ours.add(report(step, samples=8 * step))
    again = opened(tmp_path)  # nobody has closed the file
    assert list(again) == [report(step, samples=8 * step) for step in range(5)]
    assert again.last == report(4, samples=32)


def test_reports_of_another_run_are_forgotten(tmp_path: Path) -> None:
    opened(tmp_path, OTHER).add(report(7))
    ours = opened(tmp_path)
    assert told(ours) == []
    ours.add(report(0))
    assert told(opened(tmp_path)) == [0] and told(opened(tmp_path, OTHER)) == []


def test_steps_that_were_lost_are_reported_anew(tmp_path: Path) -> None:
    ours = opened(tmp_path)
    for step in (3, 4, 5, 4):
        ours.add(report(step, samples=step))
    assert told(ours) == told(opened(tmp_path)) == [3, 4]


@pytest.mark.parametrize(
    "torn", [b'{"run": "' + RUN.encode() + b'", "st', b"\xff\xfe\x00", b"null", b'{"step": 1e999}', b"[" * 10**5]
)
def test_a_line_that_is_none_costs_only_itself(tmp_path: Path, torn: bytes) -> None:
    ours = opened(tmp_path)
    ours.add(report(1))
    with (tmp_path / "reports.jsonl").open("ab") as file:
        file.write(torn)
    again = opened(tmp_path)
    assert told(again) == [1]
    again.add(report(2))
    assert told(opened(tmp_path)) == [1, 2]


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 10)
    ours = opened(tmp_path)
    for step in range(95):
        ours.add(report(step))
        assert len((tmp_path / "reports.jsonl").read_text().splitlines()) <= 20
    assert told(ours) == told(opened(tmp_path)) == list(range(85, 95))


def test_a_disk_that_takes_nothing_costs_the_file_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "reports.jsonl").symlink_to("/dev/full")
    ours = opened(tmp_path)
    ours.add(report(1))
    ours.add(report(2))
    assert told(ours) == [1, 2]
    assert len([record for record in caplog.records if "No space left" in record.getMessage()]) == 1
