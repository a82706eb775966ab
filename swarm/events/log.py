"""Append-only logs of one JSON object a line, which survive a crash of their writer: every line is flushed."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TextIO, TypeVar

from btard.errors import UserError
from btard.identity import PeerId
from btard.swarm.events.event import Event

logger = logging.getLogger(__name__)

E = TypeVar("E", bound=Event)


class JsonLines:
    """A file that only grows, a JSON object a line.

    NaN and infinities become null, bytes become hex, peer ids, paths and what else JSON lacks become text. A full disk
    costs lines and one line in the log, never the program.

    Raises:
        UserError: the file cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._complains = True
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torn = _is_torn(path)
            self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}; give a writable --directory") from None
        if torn:  # the writer before this one was killed in the middle of a line
            self._emit("\n")

    def append(self, fields: Mapping[str, Any]) -> None:
        """Add one line."""
        self._emit(json.dumps(_plain(fields), allow_nan=False, separators=(",", ":")) + "\n")

    def close(self) -> None:
        """Close the file; later lines are dropped. May be called twice."""
        try:
            self._file.close()
        except OSError as error:
            logger.error("%s is incomplete: %s", self.path, error.strerror)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _emit(self, text: str) -> None:
        if self._file.closed:
            return
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            if self._complains:
                logger.error("cannot write %s: %s; lines are lost", self.path, error.strerror)
            self._complains = False


class EventLog(JsonLines, Generic[E]):
    """The log of what happened in a run: `{"time": <seconds since the epoch>, "event": <name>, ...}` a line."""

    def write(self, event: E) -> E:
        """Add an event with the time of the call, and return it with that."""
        timed = dataclasses.replace(event, time=round(time.time(), 3))
        self.append({field.name: getattr(timed, field.name) for field in dataclasses.fields(timed)})
        return timed


def _is_torn(path: Path) -> bool:
    """Whether the file ends in the middle of a line."""
    if not path.exists() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) != b"\n"


def _plain(value: Any) -> Any:
    """Return the value as JSON can express it."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, bool | int | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, PeerId):  # bytes that have a text of their own; others are digests
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return value.hex()
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=str)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return str(value)
