"""What all events of all logs have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict


@dataclass(frozen=True, kw_only=True)
class Event:
    """A line of a log. Each subclass is one event, whose field `event` is the name in the file.

    Peers are text ids, digests are hex. A field without a default stands in every line. What a log holds is read
    strictly: a field of another type makes the line none of this event, a field that is not known is passed over.

    Attributes:
        time: seconds since the epoch, which the log notes; None of an event that is not logged.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="ignore")

    time: float | None = None
