"""Answers for many identities and computes for one: all colluders send the gradient of the lowest one."""

from __future__ import annotations

from btard.byzantine.conspirator import Conspirator
from btard.round.roster import Roster


class SybilCrowd(Conspirator):
    """Every identity has a batch of its own, so each but one fails its first check, on probation already."""

    name = "SYBIL_CROWD"

    def batch_seed(self, roster: Roster, seed: bytes) -> bytes:
        super().batch_seed(roster, seed)
        return roster.batch_seed(min(self.colluders)) if self.attacks(roster.step) else seed
