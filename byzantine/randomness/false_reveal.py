"""Reveals another share of randomness than it has committed to."""

from __future__ import annotations

import dataclasses

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.hashing import digest
from btard.round.messages.bodies import Reveal


class FalseReveal(Attacker):
    """Were it to count, the last one to reveal would choose r^t."""

    name = "FALSE_REVEAL"

    def reveal(self, step: int, reveal: Reveal, view: View) -> Reveal | None:
        return dataclasses.replace(reveal, share=digest(reveal.share)) if self.attacks(step) else reveal
