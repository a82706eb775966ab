"""Computes an honest gradient on another batch than its public seed says: an easier one of its own choice."""

from __future__ import annotations

from btard.byzantine.attacker import Attacker
from btard.round.roster import Roster


class WrongSeed(Attacker):
    """Always the same batch, on which the loss soon is small."""

    name = "WRONG_SEED"

    def batch_seed(self, roster: Roster, seed: bytes) -> bytes:
        super().batch_seed(roster, seed)
        return self._digest("seed", 0) if self.attacks(roster.step) else seed
