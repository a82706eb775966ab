"""Accuses somebody else in every attempt, of what nobody can judge."""

from __future__ import annotations

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.byzantine.settings import BehaviourSettings
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.bodies import Phase


class Quarrel(Attacker):
    """Says that aggregates which nobody doubts, and which nobody collects therefore, are wrong: each time another one,
    so that no charge has been heard before."""

    name = "QUARREL"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._charges = 0

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        """Accuse the owner of another part than last time."""
        if phase is not Phase.CHECK or not self.attacks(step):
            return honest
        others = [part for part, owner in enumerate(view.owners) if owner != self.me]
        part = others[self._charges % len(others)]
        self._charges += 1
        return Charge(ChargeKind.WRONG_AGGREGATE, view.owners[part], part)
