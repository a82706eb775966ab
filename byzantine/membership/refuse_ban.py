"""Signs another next roster than the others, as a peer that refuses to apply a ban."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing
from btard.byzantine.attacker import Attacker
from btard.hashing import digest
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.messages.bodies import Digest


class RefuseBan(Attacker):
    """It tells everybody the same, so there is no contradiction in its own words."""

    name = "REFUSE_BAN"

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        """Sign another roster for the next step than the one that follows from this one."""
        if envelope.kind is not MessageKind.DIGEST or not self.attacks(envelope.step):
            return None
        honest = Digest.decode(envelope.body)
        other = dataclasses.replace(honest, following=digest(honest.following))
        return [Outgoing(sign(other.encode()).encode())]
