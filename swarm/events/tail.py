"""Reads files of JSON lines while programs append to them: their end after a restart, or what is new at each look."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def last_lines(path: Path, most_bytes: int = 1 << 20) -> Iterator[dict[str, object]]:
    """Yield the objects of the last lines, as many as `most_bytes` hold; what is no object is left out."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most_bytes))
            lines = file.read(most_bytes).split(b"\n")
    except OSError:
        return
    for line in lines[1:] if size > most_bytes else lines:
        if (value := _object(line)) is not None:
            yield value


class LineTail:
    """Reads the objects that were appended to a file since the last look.

    A line that is not complete yet waits for the next look. A line that is no JSON object is skipped, since a program
    that was killed may leave half of one, and so is one longer than a look.

    Attributes:
        behind: the last look was not long enough for all that was new.
    """

    def __init__(self, path: Path, most_bytes: int = 4 << 20) -> None:
        """`most_bytes`: read at one look; a longer file takes several."""
        self._path = path
        self._most = most_bytes
        self._offset = 0
        self.behind = False

    def read(self) -> list[dict[str, Any]]:
        """Return the next objects, oldest first; none when there is nothing new or no such file."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                chunk = file.read(self._most)
        except OSError:
            self.behind = False
            return []
        self.behind = len(chunk) == self._most
        end = chunk.rfind(b"\n") + 1
        if end == 0 and self.behind:
            end = len(chunk)
        self._offset += end
        return [value for line in chunk[:end].splitlines() if (value := _object(line)) is not None]


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
