"""Says of each of its targets that it shows nothing, whatever it shows."""

from __future__ import annotations

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.bodies import Phase


class DenyShown(Attacker):
    """What only two peers have seen, one of them may deny; so it voids an attempt whenever it is drawn."""

    name = "DENY_SHOWN"

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        target = view.targets.get(self.me)
        if phase is not Phase.COMMIT or target is None or not self.attacks(step):
            return honest
        return Charge(ChargeKind.WITHHELD, target, 0)
