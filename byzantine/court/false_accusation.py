"""Accuses an honest peer."""

from __future__ import annotations

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.bodies import Phase


class FalseAccusation(Attacker):
    """Of a false product about a row that it holds as an owner, else of a false gradient."""

    name = "FALSE_ACCUSATION"

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        """Charge a victim that has done nothing with what this peer could have seen."""
        if not self.attacks(step):
            return honest
        part = view.my_part
        if part is None:
            return Charge(ChargeKind.GRADIENT, self.victim(step, view.members), 0)
        return Charge(ChargeKind.FALSE_SCALARS, self.victim(step, view.owners), part)
