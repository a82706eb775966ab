"""The base of attackers whose messages come late to half of the peers, to split what they have seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing
from btard.byzantine.attacker import Attacker
from btard.identity import Envelope, MessageKind, PeerId


class Late(Attacker):
    """`kind` says which messages; ATTACK_DELAY, how late."""

    kind: MessageKind

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.kind is not self.kind or not self.attacks(envelope.step) or not self.fools(envelope.step, receiver):
            return None
        return [Outgoing(envelope.encode(), self.settings.attack_delay)]
