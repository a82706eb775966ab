"""Signs two different ends of the step, one for each half of the peers."""

from __future__ import annotations

import dataclasses

from btard.byzantine.messages.two_faced import TwoFaced
from btard.hashing import digest
from btard.identity import MessageKind
from btard.round.messages.bodies import Digest


class EquivocateDigest(TwoFaced):
    """So that one half goes on to the next step and the other repeats this one."""

    name = "EQUIVOCATE_DIGEST"
    kind = MessageKind.DIGEST

    def other(self, body: bytes) -> bytes:
        honest = Digest.decode(body)
        return dataclasses.replace(honest, following=digest(honest.following)).encode()
