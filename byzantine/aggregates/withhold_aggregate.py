"""Sends its aggregate to nobody."""

from __future__ import annotations

from btard.byzantine.attacker import Attacker
from btard.hashing import Payload
from btard.identity import PeerId


class WithholdAggregate(Attacker):
    """Nothing of its part can go on without it."""

    name = "WITHHOLD_AGGREGATE"

    def aggregate_for(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return None if self.attacks(step) else payload
