"""A file of one JSON object a line that only grows: every line is flushed, and a full disk never ends the program."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from btard.errors import UserError

logger = logging.getLogger(__name__)

Value = str | int | float | None


class JsonLines:
    """Appends to a file; numbers that are not finite become null.

    Raises:
        UserError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._complains = True
        try:
            mend_last_line(path)
            self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}; give a writable --directory") from None

    def append(self, **fields: Value) -> None:
        """Add one line."""
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in fields.items()}
        try:
            self._file.write(json.dumps(plain, allow_nan=False) + "\n")
        except OSError as error:
            if self._complains:
                logger.error("cannot write %s: %s; lines are lost", self._path, error.strerror)
            self._complains = False

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        except OSError as error:
            logger.error("%s is incomplete: %s", self._path, error.strerror)


def mend_last_line(path: Path) -> None:
    """End a last line that a killed writer has left in the middle; raises OSError."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb+") as file:
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            file.write(b"\n")


def last_lines(path: Path, most_bytes: int = 1 << 20) -> Iterator[dict[str, object]]:
    """Yield the objects of the last lines of a file, as many as `most_bytes` hold; what is no object is left out."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most_bytes))
            data = file.read(most_bytes)
    except OSError:
        return
    lines = data.split(b"\n")
    for line in lines[1:] if size > most_bytes else lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value
