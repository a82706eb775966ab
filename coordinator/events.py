"""What happens in a run, by name, and the log of it."""

from __future__ import annotations

import logging
from enum import StrEnum
from pathlib import Path
from typing import Any

from btard.errors import UserError
from coordinator.lines import mend_last_line
from peer.event_log import EventLog

logger = logging.getLogger(__name__)


class CoordinatorEvent(StrEnum):
    """The names in the coordinator's `events.jsonl`, with their fields."""

    STARTED = "started"
    """run_id, experiment, peer (the coordinator's id), addresses, resumed."""
    WELCOMED = "welcomed"
    """peer, count, wanted."""
    REFUSED = "refused"
    """peer, reason."""
    GENESIS = "genesis"
    """step, members: the first roster is published."""
    ROSTER = "roster"
    """step, members: the membership has changed."""
    JOINED = "joined"
    """peer, step."""
    LEFT = "left"
    """peer, step: gone or suspended; it may come back."""
    BANNED = "banned"
    """peer, step. The evidence is in the events of the peers that banned it."""
    SILENT = "silent"
    """step: no member answers any more."""
    CHECKPOINT = "checkpoint"
    """step, digest, evaluation_loss, folder, source (who served it)."""
    CHECKPOINT_MISSED = "checkpoint_missed"
    """step, reason."""
    FINISHED = "finished"
    """step, members, banned, evaluation_loss."""
    STOPPED = "stopped"
    """reason: the coordinator ends before the run does."""


class RunLog:
    """The coordinator's log of events; a full disk costs events, not the coordinator.

    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._complains = True
        try:
            mend_last_line(path)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}; give a writable --directory") from None
        self._log = EventLog(path)

    def write(self, event: CoordinatorEvent, **fields: Any) -> None:
        """Append an event."""
        try:
            self._log.write(event, **fields)
        except OSError as error:
            if self._complains:
                logger.error("cannot write %s: %s; events are lost", self._path, error.strerror)
            self._complains = False

    def close(self) -> None:
        """Close the file."""
        try:
            self._log.close()
        except OSError as error:
            logger.error("%s is incomplete: %s", self._path, error.strerror)
