"""Builds its vector on a momentum that it shows nobody."""

from __future__ import annotations

from btard.byzantine.attacker import Attacker
from btard.identity import PeerId


class WithholdMomentum(Attacker):
    """Without the momentum nobody can say what the vector had to be."""

    name = "WITHHOLD_MOMENTUM"

    def shown_momentum(self, step: int, asker: PeerId, base: bytes | None) -> bytes | None:
        return None if self.attacks(step) else base
