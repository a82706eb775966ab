"""Sends the gradient of another peer as its own, computed from that peer's public seed."""

from __future__ import annotations

from btard.byzantine.attacker import Attacker
from btard.round.roster import Roster


class CopyGradient(Attacker):
    """To the last bit what the other one sends; commitments come too late for a copy of received bytes."""

    name = "COPY_GRADIENT"

    def batch_seed(self, roster: Roster, seed: bytes) -> bytes:
        super().batch_seed(roster, seed)
        return roster.batch_seed(self.victim(roster.step, roster.members)) if self.attacks(roster.step) else seed
