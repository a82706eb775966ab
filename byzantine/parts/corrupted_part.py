"""Sends other bytes than the signed header of a part announces, to everyone."""

from __future__ import annotations

from btard.byzantine.attacker import Attacker
from btard.hashing import Payload
from btard.identity import PeerId


class CorruptedPart(Attacker):
    """To the receiver it looks like a broken transfer."""

    name = "CORRUPTED_PART"

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return corrupted(payload) if self.attacks(step) else payload


def corrupted(payload: Payload) -> bytes:
    """Return other bytes of the same length; only an empty payload cannot be another."""
    return bytes(byte ^ 1 for byte in payload[:4]) + bytes(payload[4:])
