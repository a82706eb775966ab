"""The log of what happened: one JSON object a line, written at once for whoever follows the file."""

from __future__ import annotations

import json
import math
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

from btard.errors import UserError


class EventLog:
    """Appends events to a file.

    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", buffering=1, encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}; give a writable --directory") from None

    def write(self, event: StrEnum, **fields: Any) -> None:
        """Append an event with the time in seconds since the epoch; numbers that are not finite become null."""
        record = {"time": round(time.time(), 3), "event": event.value, **{k: _plain(v) for k, v in fields.items()}}
        self._file.write(json.dumps(record, allow_nan=False) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
