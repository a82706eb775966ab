"""Sends parts that are longer than a part can be."""

from __future__ import annotations

from btard.byzantine.attacker import Attacker
from btard.hashing import Payload
from btard.identity import PeerId

_EXTRA = 1024


class OversizedPart(Attacker):
    """The bytes that belong there come first."""

    name = "OVERSIZED_PART"

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return bytes(payload) + bytes(_EXTRA) if self.attacks(step) else payload
