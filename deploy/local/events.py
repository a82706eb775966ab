"""Following the files of events while programs append to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MOST_BYTES = 4 << 20
"""Read at one look; a longer file takes several."""


class Tail:
    """Reads what was appended to a file of JSON lines since the last look.

    A line that is not complete yet waits for the next look; a line that is no JSON object is skipped, since a program
    that was killed may leave half of one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[dict[str, Any]]:
        """Return the new events, oldest first; none while the file does not exist."""
        found: list[dict[str, Any]] = []
        while True:
            try:
                with self._path.open("rb") as file:
                    file.seek(self._offset)
                    chunk = file.read(MOST_BYTES)
            except FileNotFoundError:
                return found
            end = chunk.rfind(b"\n") + 1
            if end == 0:
                return found
            self._offset += end
            found += [event for line in chunk[:end].splitlines() if (event := _event(line)) is not None]
            if len(chunk) < MOST_BYTES:
                return found


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None
