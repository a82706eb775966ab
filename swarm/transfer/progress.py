"""How far a download is: a bar in a terminal, else a line in the log now and then."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from btard.logs import writes_json

logger = logging.getLogger(__name__)

TELL_SECONDS = 10.0
"""Seconds between two lines in the log."""

_MEGA = 1e6

Show = Callable[[int, int, int], None]
"""Shows how many bytes are here, of how many, and how many peers are asked just now."""


@contextmanager
def display() -> Iterator[Show]:
    """Inside, a download is shown: as a bar where a person looks at standard error, as lines where a program does."""
    if not sys.stderr.isatty() or writes_json():
        yield LogLines().show
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("training state"),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TextColumn("sources: {task.fields[sources]}"),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task("", total=None, sources=0)
        yield lambda done, total, sources: bar.update(shown, completed=done, total=total, sources=sources)


class LogLines:
    """A line every ten seconds, with the rate since the line before."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told_at = clock()
        self._told: int | None = None

    def show(self, done: int, total: int, sources: int) -> None:
        """See `Show`."""
        now = self._clock()
        if self._told is None:
            self._told = done  # what was here before the download has come at no rate
        seconds = now - self._told_at
        if seconds < TELL_SECONDS:
            return
        logger.info(
            "training state: %.0f of %.0f MB are here, %.1f MB/s, sources: %d",
            done / _MEGA,
            total / _MEGA,
            (done - self._told) / seconds / _MEGA,
            sources,
        )
        self._told_at, self._told = now, done
