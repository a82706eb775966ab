"""SIGINT and SIGTERM: the first one is raised, and none while a fleet is terminated."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal has come."""


class Interruption:
    """Raises Interrupted at the first signal while it is armed; later ones only say that the end takes time.

    Since the handler disarms itself before it raises, `disarm` in a `finally` leaves no moment in which what comes
    after it could be cut off.
    """

    def __init__(self) -> None:
        self._armed = True

    def disarm(self) -> None:
        """Raise nothing from now on."""
        self._armed = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals."""
        before = {number: signal.signal(number, self._note) for number in _NUMBERS}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)

    def _note(self, number: int, _: object) -> None:
        if self._armed:
            self._armed = False
            raise Interrupted
        print("still terminating; please wait", flush=True)
