"""The last step that this peer has begun, also before a restart: no step may be begun twice."""

from __future__ import annotations

import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)


class Progress:
    """A small file with the run's id and the last step begun.

    A peer that began a step has signed messages in it. Beginning it again after a restart could sign others, which
    would be proof of a lie. So the file is on the disk, not only with the operating system, before anything is signed.

    Attributes:
        step: the last step begun in this run, -1 for none.
        restarted: whether there was such a file, of whatever content: this peer may have begun steps that it does not
            name, since the file may be torn, of another disk, or a copy.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self._path = path
        self._run_id = run_id
        self.step = -1
        self.restarted = path.exists()
        try:
            words = path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError):
            return
        if len(words) == 2 and words[0] == run_id and words[1].isascii() and words[1].isdigit():
            self.step = int(words[1])
        elif len(words) == 2 and words[0] != run_id:
            self.restarted = False  # it tells of another run

    def begin(self, step: int) -> None:
        """Note that a step begins; before the peer signs anything in it."""
        self.step, self.restarted = max(self.step, step), False
        # A file cut in the middle of writing would say nothing.
        unfinished = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            with unfinished.open("w", encoding="utf-8") as file:
                file.write(f"{self._run_id} {self.step}\n")
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path)
            _force(self._path.parent)
        except OSError as error:
            logger.error("cannot write %s: %s; do not restart this peer within a step", self._path, error.strerror)

    def saw(self, step: int, *, member: bool) -> None:
        """Note the newest step that a majority reports, as the first that this peer hears of after a restart: as a
        member it may have begun that one. One that has lost its place has not, and later ones begin before its eyes."""
        if self.restarted:
            self.restarted = False
            if member and step > self.step:
                self.begin(step)


def _force(directory: Path) -> None:
    """Bring a directory's entries to the disk, so that a file that has replaced another is found after a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
