"""Accuses its target whatever it has found, as a validator whose own recomputation is faulty."""

from __future__ import annotations

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.bodies import Phase


class HastyValidator(Attacker):
    """Harmless where the target is off by something (between the two thresholds nobody loses); a false accusation where
    it is not."""

    name = "HASTY_VALIDATOR"

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        target = view.targets.get(self.me)
        if phase is not Phase.COMMIT or target is None or not self.attacks(step):
            return honest
        return Charge(ChargeKind.GRADIENT, target, 0)
