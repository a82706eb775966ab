"""What a peer has reported of its last steps, in memory and in a file: for a coordinator that was away, also after a
restart of the peer."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from btard.durable import write_durably
from btard.swarm.events.log import JsonLines
from btard.swarm.events.tail import json_object, last_lines
from btard.swarm.records.record import LocalMetrics

logger = logging.getLogger(__name__)

REPORTS_FILE = "reports.jsonl"
"""In the directory of a peer."""

MAX_KEPT = 8192
"""Steps whose reports are kept."""

_MOST_BYTES = 8 << 20
"""Of the file that are read: at most two times MAX_KEPT lines of 300 bytes."""


class KeptReports:
    """The reports of the last steps, ascending.

    A report is on the operating system's side when `add` returns: what a power cut takes of the last ones is lost.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        """Take up what an earlier start in this run has left.

        Args:
            run_id: reports of other runs are forgotten.

        Raises:
            UserError: the file cannot be opened for writing.
        """
        self._path, self._run = path, run_id
        self._kept: deque[LocalMetrics] = deque(maxlen=MAX_KEPT)
        lines = 0
        for line in last_lines(path, json_object, _MOST_BYTES):
            lines += 1
            if line.pop("run", None) == run_id:
                self._take_up(line)
        self._lines = lines
        if lines > len(self._kept):
            self._shorten()
        self._file = JsonLines(path)

    def _take_up(self, line: dict[str, Any]) -> None:
        try:
            self._put(LocalMetrics.model_validate(line))
        except ValidationError as error:
            logger.debug("a line of %s is no report: %s", self._path, error)

    def _put(self, report: LocalMetrics) -> None:
        while self._kept and self._kept[-1].step >= report.step:
            self._kept.pop()  # of a past that is lost: the run has gone on from an earlier step
        self._kept.append(report)

    def __iter__(self) -> Iterator[LocalMetrics]:
        return iter(self._kept)

    @property
    def last(self) -> LocalMetrics | None:
        """The newest report, None for none."""
        return self._kept[-1] if self._kept else None

    def add(self, report: LocalMetrics) -> None:
        """Keep a report; a disk that takes none costs the file, and never the program."""
        self._put(report)
        if self._lines >= 2 * MAX_KEPT:
            self._file.close()
            self._shorten()
            self._file = JsonLines(self._path)
        else:
            self._file.append(self._line(report))
            self._lines += 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _line(self, report: LocalMetrics) -> dict[str, Any]:
        return {"run": self._run, **report.model_dump()}

    def _shorten(self) -> None:
        """Write the file anew, with what is kept alone."""
        lines = "".join(json.dumps(self._line(report)) + "\n" for report in self._kept)
        try:
            write_durably(self._path, lines.encode())
        except OSError as error:
            logger.error("cannot shorten %s: %s", self._path, error.strerror)
        self._lines = len(self._kept)
