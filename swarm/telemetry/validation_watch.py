"""Notices when no validators can be drawn any more, and when they can again, and tells each once."""

from __future__ import annotations

import logging
from collections.abc import Callable

from btard.round.draw import nobody_is_validated
from btard.round.roster import Roster

logger = logging.getLogger(__name__)


class ValidationWatch:
    """Looks at one roster after the other.

    Args:
        rate: mean number of validators a step, by the run's manifest.
        tell: is called with the step and the words whenever they change, None in place of words when it is over.
    """

    def __init__(self, rate: float, tell: Callable[[int, str | None], None] = lambda step, words: None) -> None:
        self._rate = rate
        self._tell = tell
        self._words: str | None = None

    def look(self, roster: Roster) -> bool:
        """Look at the roster of a step; returns whether validators can be drawn of it."""
        words = nobody_is_validated(len(roster.voters), self._rate)
        before, self._words = self._words, words
        if words == before:
            return words is None
        if words is None:
            logger.info("step %d: validators are drawn again: %d voters", roster.step, len(roster.voters))
        elif before is None:
            logger.warning("step %d: %s", roster.step, words)
        self._tell(roster.step, words)
        return words is None
