"""The file in which a state arrives: what came before an interruption is found in it again by its digests."""

from __future__ import annotations

import mmap
import os
import threading
from pathlib import Path

from btard.hashing import Payload
from btard.outline import Outline

ARRIVING_FILE = "arriving.state"
"""In the directory of a peer or a coordinator."""


class Arrival:
    """A file as long as the state. Its methods may take as long as the disk does, so they belong into a thread.

    Attributes:
        missing: chunks that were not there at the beginning; for the caller to count down.
    """

    def __init__(self, path: Path, outline: Outline) -> None:
        """Take room for the whole, and look for chunks that came earlier, also of a state that is the same there.

        Raises:
            OSError: the file cannot be written, or there is no room for it.
        """
        self._path = path
        self._outline = outline
        # No link is followed, so that nothing but this file is ever written.
        self._writing = threading.Lock()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        before = os.fstat(descriptor).st_size
        os.ftruncate(descriptor, outline.size)
        os.posix_fallocate(descriptor, 0, outline.size)
        self.missing = {index for index in range(len(outline)) if not self._is_there(index, before)}

    def _is_there(self, index: int, before: int) -> bool:
        start, end = self._outline.chunk(index)
        return end <= before and self._outline.has(index, os.pread(self._file.fileno(), end - start, start))

    def put(self, index: int, data: Payload) -> bool:
        """Write a chunk, and return whether it is the right one; others are not written.

        Raises:
            OSError: it cannot be written.
        """
        if not self._outline.has(index, data):
            return False
        start, view = self._outline.chunk(index)[0], memoryview(data)
        with self._writing:
            while view and not self._file.closed:
                written = os.pwrite(self._file.fileno(), view, start)
                start, view = start + written, view[written:]
        return True

    def whole(self) -> memoryview:
        """Return the bytes of the file without reading them into memory, once nothing is missing; raises OSError."""
        return memoryview(mmap.mmap(self._file.fileno(), self._outline.size, access=mmap.ACCESS_READ))

    def close(self) -> None:
        """Close the file and leave it for another time; what is still being written is waited for, or left out."""
        with self._writing:
            self._file.close()

    def remove(self) -> None:
        """Remove the file: it has been used, or is of no use; raises OSError."""
        self._path.unlink(missing_ok=True)
