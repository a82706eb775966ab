"""How far a download is, for people at a terminal and for those that read logs later."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from btard.swarm.transfer.progress import TELL_SECONDS, LogLines, display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_every_ten_seconds_with_megabytes_and_rate(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 100.0
    lines = LogLines(lambda: now)
    lines.show(20_000_000, 200_000_000, 1)
    for second in range(1, 25):
        now = 100.0 + second
        lines.show(20_000_000 + 5_000_000 * second, 200_000_000, 4)
    assert caplog.messages == [
        "training state: 70 of 200 MB are here, 5.0 MB/s, sources: 4",
        "training state: 120 of 200 MB are here, 5.0 MB/s, sources: 4",
    ]
    assert TELL_SECONDS == 10.0


def test_a_bar_is_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, drawn in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        with display() as show:
            show(50, 200, 3)
        assert ("sources: 3" in stream.getvalue()) == drawn
