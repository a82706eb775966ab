"""Signs commitments that nobody can read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing
from btard.byzantine.attacker import Attacker
from btard.identity import Envelope, MessageKind, PeerId


class MalformedBody(Attacker):
    """The signature is right, the body is cut short."""

    name = "MALFORMED_BODY"

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.kind is not MessageKind.COMMIT or not self.attacks(envelope.step):
            return None
        return [Outgoing(sign(envelope.body[:-1]).encode())]
