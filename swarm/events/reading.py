"""From lines of logs to events, and the whole log of a peer or a coordinator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from btard.errors import UserError
from btard.swarm.events.coordinator import CoordinatorEvent, CoordinatorStarted
from btard.swarm.events.peer import PeerEvent

EVENTS_FILE = "events.jsonl"
"""In the directory of a daemon: its log."""

_PEER: TypeAdapter[PeerEvent] = TypeAdapter(Annotated[PeerEvent, Field(discriminator="event")])
_COORDINATOR: TypeAdapter[CoordinatorEvent] = TypeAdapter(Annotated[CoordinatorEvent, Field(discriminator="event")])


def parse_peer(line: bytes) -> PeerEvent | None:
    """Return the event of a line of a peer's log; None for a line that was cut, or that this version does not know."""
    try:
        return _PEER.validate_json(line)
    except ValidationError:
        return None


def parse_coordinator(line: bytes) -> CoordinatorEvent | None:
    """Return the event of a line of a coordinator's log, None as above."""
    try:
        return _COORDINATOR.validate_json(line)
    except ValidationError:
        return None


def read_log(directory: Path) -> list[PeerEvent] | list[CoordinatorEvent]:
    """Return the events of a directory's log, oldest first; lines that a crash has cut are left out.

    Raises:
        UserError: there is no log that can be read.
    """
    path = directory / EVENTS_FILE
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        hint = "give the directory of a peer or a coordinator"
        raise UserError(f"cannot read {path}: {error.strerror}; {hint}") from None
    # Both logs have events of one name, and only a coordinator's begins with its start.
    first = next((event for line in lines if (event := parse_coordinator(line)) is not None), None)
    if isinstance(first, CoordinatorStarted):
        return [event for line in lines if (event := parse_coordinator(line)) is not None]
    return [told for line in lines if (told := parse_peer(line)) is not None]
