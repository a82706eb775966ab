"""One entry for each sample that has crossed a boundary, in a file that is mapped into memory.

A step's changes wait until its result is accepted (`commit`), and are forgotten if it is not (`roll_back`): a poisoned
activation must leave no trace on either side. The file has no name and does not outlive the process; a sample is
remembered only if its entry was written by this process.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path

from btard.errors import UserError


class ActivationCache:
    """Entries of one size, by sample. Use from one thread.

    Where the limit or the disk has no room for a new sample it stays unseen: it is sent raw at every visit.
    """

    def __init__(self, directory: Path, entry_bytes: int, limit_bytes: int) -> None:
        """Make the file; it takes room on the disk as samples come.

        Args:
            directory: on the disk that is to hold it.
            entry_bytes: size of an entry.
            limit_bytes: of the file.

        Raises:
            UserError: not even one sample fits, or the directory cannot be written.
        """
        if entry_bytes > limit_bytes:
            raise UserError(
                f"the activation cache may have {limit_bytes} bytes, but a sample takes {entry_bytes}: raise the limit"
            )
        self._entry_bytes = entry_bytes
        self._room = limit_bytes // entry_bytes
        try:
            self._file = tempfile.TemporaryFile(dir=directory, prefix="btard-activations-")  # noqa: SIM115
            os.truncate(self._file.fileno(), self._room * entry_bytes)
            self._map = mmap.mmap(self._file.fileno(), self._room * entry_bytes)
        except OSError as error:
            raise UserError(f"no activation cache can be made in {directory}: {error.strerror}") from None
        self._slots: dict[int, int] = {}
        self._staged: dict[int, bytes] = {}

    def seen(self, sample: int) -> bool:
        """Whether there is an entry of a sample."""
        return sample in self._staged or sample in self._slots

    def get(self, sample: int) -> bytes | None:
        """Return a sample's newest entry, of this step if it has one; None for one that was not seen."""
        staged = self._staged.get(sample)
        if staged is not None:
            return staged
        slot = self._slots.get(sample)
        return None if slot is None else self._map[slot * self._entry_bytes : (slot + 1) * self._entry_bytes]

    def stage(self, sample: int, entry: bytes) -> None:
        """Remember a sample's entry for this step; raises ValueError where it has another size."""
        if len(entry) != self._entry_bytes:
            raise ValueError(f"an entry of {len(entry)} bytes in a cache for {self._entry_bytes}")
        self._staged[sample] = entry

    def commit(self) -> None:
        """Keep what this step has staged."""
        for sample, entry in self._staged.items():
            slot = self._slots[sample] if sample in self._slots else self._taken(sample)
            if slot is not None:
                self._map[slot * self._entry_bytes : (slot + 1) * self._entry_bytes] = entry
        self._staged.clear()

    def roll_back(self) -> None:
        """Forget what this step has staged."""
        self._staged.clear()

    def close(self) -> None:
        """Give the file's memory and disk back."""
        self._map.close()
        self._file.close()

    def __len__(self) -> int:
        """How many samples have an entry that was committed."""
        return len(self._slots)

    def _taken(self, sample: int) -> int | None:
        """Return a free slot that is the sample's from now on, or None.

        The blocks are taken from the file system beforehand: a full disk would end the process at a write to the map.
        """
        slot = len(self._slots)
        if slot >= self._room:
            return None
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file.fileno(), slot * self._entry_bytes, self._entry_bytes)
            else:
                os.pwrite(self._file.fileno(), bytes(self._entry_bytes), slot * self._entry_bytes)
        except OSError:
            return None
        self._slots[sample] = slot
        return slot
