"""Sends half of the peers other bytes than the aggregate that it has committed to."""

from __future__ import annotations

from btard.byzantine.attacker import Attacker
from btard.byzantine.parts.corrupted_part import corrupted
from btard.hashing import Payload
from btard.identity import PeerId


class TwoFacedAggregate(Attacker):
    """All get one signed hash; those that got other bytes ask third peers for the right ones."""

    name = "AGGREGATE_TWO_FACED"

    def aggregate_for(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return corrupted(payload) if self.attacks(step) and self.fools(step, receiver) else payload
