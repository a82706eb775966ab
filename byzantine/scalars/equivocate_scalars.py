"""Signs two different lists of products, one for each half of the peers."""

from __future__ import annotations

import dataclasses

from btard.byzantine.messages.two_faced import TwoFaced
from btard.identity import MessageKind
from btard.round.messages.bodies import Scalars


class EquivocateScalars(TwoFaced):
    """One half gets the truth, the other half of every product."""

    name = "EQUIVOCATE_SCALARS"
    kind = MessageKind.SCALARS

    def other(self, body: bytes) -> bytes:
        scalars = Scalars.decode(body)
        return dataclasses.replace(scalars, products=tuple(0.5 * product for product in scalars.products)).encode()
