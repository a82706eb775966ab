"""Sends other parts than it has committed to, under headers that say so."""

from __future__ import annotations

from btard.byzantine.attacker import Attacker
from btard.byzantine.parts.corrupted_part import corrupted
from btard.byzantine.settings import BehaviourSettings
from btard.hashing import Payload, digest
from btard.identity import PeerId


class PartMismatch(Attacker):
    """The signed header fits the bytes and contradicts the signed commitment."""

    name = "PART_MISMATCH"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._sent = b""

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        sent = corrupted(payload) if self.attacks(step) else payload
        self._sent = digest(sent)
        return sent

    def part_digest(self, step: int, receiver: PeerId, digest: bytes) -> bytes:
        return self._sent if self.attacks(step) else digest
