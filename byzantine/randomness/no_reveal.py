"""Reveals nothing, as a peer that does not like the randomness that comes out."""

from __future__ import annotations

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.round.messages.bodies import Reveal


class NoReveal(Attacker):
    """It aborts the draw; the next one has a validator more."""

    name = "NO_REVEAL"

    def reveal(self, step: int, reveal: Reveal, view: View) -> Reveal | None:
        return None if self.attacks(step) else reveal
