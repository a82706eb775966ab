"""Checks nobody: as a validator it finds nothing, as a judge it votes for innocence."""

from __future__ import annotations

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.round.messages.accusations import Charge, Opinion
from btard.round.messages.bodies import Phase


class LazyValidator(Attacker):
    """Nobody can tell, and nobody needs to: only the rate of detection falls."""

    name = "LAZY_VALIDATOR"

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        return None if phase is Phase.COMMIT and self.attacks(step) else honest

    def opinion(self, step: int, charge: Charge, opinion: Opinion) -> Opinion:
        return Opinion.INNOCENT if self.attacks(step) else opinion
