"""Sends one owner's part to nobody, not even to the third peers that ask for it on its behalf."""

from __future__ import annotations

from btard.byzantine.parts.withhold_part import WithholdPart
from btard.hashing import Payload, digest
from btard.identity import PeerId


class RefusePart(WithholdPart):
    """Its word against the owner's: nobody else can tell which of the two lies."""

    name = "REFUSE_PART"

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        if self.robbed is not None and digest(payload) == self.robbed_of:
            return None
        return super().part(step, receiver, payload)
