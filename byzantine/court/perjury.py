"""Votes against what it has found."""

from __future__ import annotations

from btard.byzantine.attacker import Attacker
from btard.round.messages.accusations import Charge, Opinion

_OPPOSITE = {Opinion.GUILTY: Opinion.INNOCENT, Opinion.INNOCENT: Opinion.GUILTY, Opinion.UNSURE: Opinion.GUILTY}


class Perjury(Attacker):
    """A majority of true votes decides all the same."""

    name = "PERJURY"

    def opinion(self, step: int, charge: Charge, opinion: Opinion) -> Opinion:
        return _OPPOSITE[opinion] if self.attacks(step) else opinion
