"""Signs two different aggregates of its part, one for each half of the peers."""

from __future__ import annotations

from btard.byzantine.attacker import Attacker
from btard.byzantine.parts.corrupted_part import corrupted
from btard.hashing import Payload, digest
from btard.identity import PeerId


class EquivocateAggregate(Attacker):
    """Each half gets bytes that fit what it was told."""

    name = "EQUIVOCATE_AGGREGATE"
    _other: Payload = b""

    def aggregate_for(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        if not self._lies_to(step, receiver):
            return payload
        self._other = corrupted(payload)
        return self._other

    def aggregate_digest(self, step: int, receiver: PeerId, announced: bytes) -> bytes:
        return digest(self._other) if self._lies_to(step, receiver) else announced

    def _lies_to(self, step: int, receiver: PeerId) -> bool:
        return self.attacks(step) and self.fools(step, receiver)
