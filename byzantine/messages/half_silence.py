"""Sends its messages to half of the peers only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing
from btard.byzantine.attacker import Attacker
from btard.identity import Envelope, PeerId


class HalfSilence(Attacker):
    """One half thinks it gone, the other waits with it for the first; parts and aggregates go to everyone."""

    name = "HALF_SILENCE"

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        return () if self.attacks(envelope.step) and self.fools(envelope.step, receiver) else None
