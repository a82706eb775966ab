"""Reveals its share together with its commitment, before anybody else is bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing
from btard.byzantine.attacker import Attacker
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.messages.bodies import Commit, Reveal
from btard.round.randomness import secret_share


class EarlyReveal(Attacker):
    """It gives away its own secret only: one honest share that is not known yet is enough."""

    name = "EARLY_REVEAL"

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        """Send the own share ahead of the commitment to it."""
        if envelope.kind is not MessageKind.COMMIT or not self.attacks(envelope.step):
            return None
        reveal = Reveal(*secret_share(self.key, Commit.decode(envelope.body).attempt_id))
        early = Envelope.sign(
            self.key,
            run=envelope.run,
            step=envelope.step,
            attempt=envelope.attempt,
            kind=MessageKind.REVEAL,
            body=reveal.encode(),
        )
        return [Outgoing(early.encode()), Outgoing(envelope.encode())]
