"""Reads the end of a file of JSON lines, which is where a restarted coordinator finds what it has written already."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path


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
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value
