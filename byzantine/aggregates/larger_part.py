"""Publishes an aggregate that is longer than its part, as if it owned more of the vector."""

from __future__ import annotations

from btard.byzantine.attacker import Attacker
from btard.hashing import Payload
from btard.identity import PeerId

_EXTRA = 1024


class LargerPart(Attacker):
    """Parts are equal by rule, so nobody takes it."""

    name = "LARGER_PART"

    def aggregate_for(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return bytes(payload) + bytes(_EXTRA) if self.attacks(step) else payload
