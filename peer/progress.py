"""The last step that this peer has begun, also before a restart: no step may be begun twice."""

from __future__ import annotations

import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)


class Progress:
    """A small file with the run's id and the last step begun.

    A peer that began a step has signed messages in it. Beginning it again after a restart could sign others, which
    would be proof of a lie.

    Attributes:
        step: the last step begun in this run, -1 for none.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self._path = path
        self._run_id = run_id
        self.step = -1
        try:
            words = path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError):
            return
        if len(words) == 2 and words[0] == run_id and words[1].isascii() and words[1].isdigit():
            self.step = int(words[1])

    def begin(self, step: int) -> None:
        """Note that a step begins; before the peer signs anything in it."""
        self.step = max(self.step, step)
        # A file cut in the middle of writing would say nothing.
        unfinished = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            unfinished.write_text(f"{self._run_id} {self.step}\n", encoding="utf-8")
            unfinished.replace(self._path)
        except OSError as error:
            logger.error("cannot write %s: %s; do not restart this peer within a step", self._path, error.strerror)
