"""Gets itself banned, and goes on sending as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing
from btard.byzantine.messages.equivocate_commit import EquivocateCommit
from btard.identity import Envelope, MessageKind, PeerId

_STEPS = 5


class Undead(EquivocateCommit):
    """Commitments to the steps after its ban go out every ATTACK_DELAY seconds."""

    name = "UNDEAD"

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        """Send commitments to the next steps as well, one each ATTACK_DELAY seconds."""
        now = super().transmit(receiver, envelope, sign)
        if envelope.kind is not MessageKind.COMMIT or not self.attacks(envelope.step):
            return now
        later = [
            Envelope.sign(self.key, run=envelope.run, step=envelope.step + i, kind=envelope.kind, body=envelope.body)
            for i in range(1, _STEPS + 1)
        ]
        delayed = [Outgoing(e.encode(), i * self.settings.attack_delay) for i, e in enumerate(later, 1)]
        return [*(now or [Outgoing(envelope.encode())]), *delayed]
