"""Reveals the true share to one half of the peers, and another to the other half."""

from __future__ import annotations

import dataclasses

from btard.byzantine.messages.two_faced import TwoFaced
from btard.hashing import digest
from btard.identity import MessageKind
from btard.round.messages.bodies import Reveal


class EquivocateReveal(TwoFaced):
    """So that the halves draw different randomness."""

    name = "EQUIVOCATE_REVEAL"
    kind = MessageKind.REVEAL

    def other(self, body: bytes) -> bytes:
        reveal = Reveal.decode(body)
        return dataclasses.replace(reveal, share=digest(reveal.share)).encode()
