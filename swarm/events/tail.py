"""Reads files of lines while programs append to them: their end after a restart, or what is new at each look."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Parse = Callable[[bytes], T | None]
"""From a line to what it says, None for a line that says nothing: a program that was killed may leave half of one."""


def json_object(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a line, None for anything else."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def last_lines(path: Path, parse: Parse[T], most_bytes: int = 1 << 20) -> Iterator[T]:
    """Yield what the last lines say, as many as `most_bytes` hold; nothing where there is no such file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most_bytes))
            lines = file.read(most_bytes).split(b"\n")
    except OSError:
        return
    for line in lines[1:] if size > most_bytes else lines:
        if (value := parse(line)) is not None:
            yield value


class Tail(Generic[T]):
    """Reads what was appended to a file since the last look.

    A line that is not complete yet waits for the next look; one longer than a look is skipped.

    Attributes:
        behind: the last look was not long enough for all that was new.
    """

    def __init__(self, path: Path, parse: Parse[T], most_bytes: int = 4 << 20) -> None:
        """`most_bytes`: read at one look; a longer file takes several."""
        self._path = path
        self._parse = parse
        self._most = most_bytes
        self._offset = 0
        self.behind = False

    def read(self) -> list[T]:
        """Return what is next, oldest first; nothing when there is nothing new or no such file."""
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
        return [value for line in chunk[:end].splitlines() if (value := self._parse(line)) is not None]

    def read_all(self) -> Iterator[T]:
        """Yield all that is new, in as many looks as it takes."""
        self.behind = True
        while self.behind:
            yield from self.read()
