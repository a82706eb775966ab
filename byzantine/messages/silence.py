"""Sends nothing to anybody."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing
from btard.byzantine.attacker import Attacker
from btard.hashing import Payload
from btard.identity import Envelope, PeerId


class Silence(Attacker):
    """From outside the same as a crash or a cut cable."""

    name = "SILENCE"

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return None if self.attacks(step) else payload

    def aggregate_for(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return None if self.attacks(step) else payload

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        return () if self.attacks(envelope.step) else None
