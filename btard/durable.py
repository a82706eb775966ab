"""Files that a power cut leaves either as they were or as they were to be, and that show when they are neither."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from btard.hashing import DIGEST_SIZE, digest


def write_durably(path: Path, *pieces: bytes | memoryview) -> None:
    """Replace a file by these bytes, which are on the disk when this returns, and so is the file's name.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    with durable_file(path) as file:
        for piece in pieces:
            file.write(piece)


@contextmanager
def durable_file(path: Path) -> Iterator[BinaryIO]:
    """Replace a file by what is written inside, piece by piece, once it is all on the disk; not at all if that raises.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    force_names(path.parent)


def force_names(directory: Path) -> None:
    """Bring a directory's entries to the disk, so that a file that has replaced another is found after a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sealed(data: bytes) -> bytes:
    """Return bytes with a digest behind them, by which `unsealed` knows that they are whole."""
    return data + digest(data)


def unsealed(data: bytes) -> bytes | None:
    """Return what was sealed, None where it was cut, changed, or never sealed."""
    body, seal = data[:-DIGEST_SIZE], data[-DIGEST_SIZE:]
    return body if len(data) > DIGEST_SIZE and digest(body) == seal else None
