"""A signal that is noted, and acted on where nothing is half done."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator


class Interrupt:
    """Turns SIGINT and SIGTERM into something that `select` sees, so that no code is cut in the middle.

    Attributes:
        number: of the signal that has come, None before.
    """

    def __init__(self) -> None:
        """Begin with no signal."""
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        os.set_blocking(self._read, False)
        self.number: int | None = None

    def fileno(self) -> int:
        """Return what `select` waits for."""
        return self._read

    def _note(self, number: int, _: object) -> None:
        self.number = number
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"x")

    @contextlib.contextmanager
    def listening(self) -> Iterator[Interrupt]:
        """Inside, signals are noted and raise nothing."""
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._read)
            os.close(self._write)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has come."""
        if self.number is not None:
            raise KeyboardInterrupt
