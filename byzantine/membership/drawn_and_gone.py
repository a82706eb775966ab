"""Sends the negated gradient, and is gone as soon as it sees that it will be examined."""

from __future__ import annotations

from btard.behaviour import LeaveReason
from btard.byzantine.gradients.live.alone import SignFlipping
from btard.byzantine.settings import Escape
from btard.round.roster import Roster


class DrawnAndGone(SignFlipping):
    """The roster of the next step names the targets before their validators can begin to look. One that has lied says
    goodbye then or, where ESCAPE is silence, dies without a word."""

    name = "DRAWN_AND_GONE"

    def leaves(self, step: int, following: Roster) -> LeaveReason | None:
        """Leave after a lie that somebody is going to look at."""
        if not self.attacks(step) or self.me not in following.validators.values():
            return super().leaves(step, following)
        if self.settings.escape is Escape.SILENCE:
            self.die()
            return None
        return LeaveReason.SHUTDOWN
