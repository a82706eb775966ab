"""Claims a weight of its own: a commitment with one field more than there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing
from btard.byzantine.attacker import Attacker
from btard.identity import Envelope, MessageKind, PeerId
from btard.identity.codec import decode, encode

_WEIGHT = 1e6


class WrongWeight(Attacker):
    """All gradients count the same, so there is no such field."""

    name = "WRONG_WEIGHT"

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        """Send the commitment with a weight as one more field."""
        if envelope.kind is not MessageKind.COMMIT or not self.attacks(envelope.step):
            return None
        fields = decode(envelope.body, limit=len(envelope.body))
        return [Outgoing(sign(encode([*fields, _WEIGHT])).encode())]
