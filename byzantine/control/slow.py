"""Is slow: every message leaves ATTACK_DELAY seconds late."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing
from btard.byzantine.attacker import Attacker
from btard.identity import Envelope, PeerId


class Slow(Attacker):
    """Within the deadlines nobody minds; beyond them it is left out, and never banned."""

    name = "SLOW"

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        return [Outgoing(envelope.encode(), self.settings.attack_delay)] if self.attacks(envelope.step) else None
