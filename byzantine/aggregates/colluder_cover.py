"""Publishes a wrong aggregate that a colluder hides by a false product of its row, which the owner accepts."""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing, View
from btard.byzantine.aggregates.shift import shifted
from btard.byzantine.conspirator import Conspirator
from btard.hashing import Payload
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.messages.accusations import Charge
from btard.round.messages.bodies import Phase, Scalars

_RADII = 0.05
_HEAD_START_SECONDS = 0.5
"""Seconds by which the owner keeps its share of randomness from the colluder, so that it knows the sum first."""

_TOPIC = "sum"


class ColluderCover(Conspirator):
    """Of the colluders that own a part, the lowest one cheats and the next one covers up.

    The owner measures everyone's row as soon as r^t is known, and tells its colluder what the products of its part add
    up to; the colluder takes that from its own product.
    """

    name = "COLLUDER_COVER"

    def aggregate(self, step: int, payload: Payload, view: View) -> Payload:
        cheats = self.attacks(step) and self._pair(view)[:1] == [self.me]
        return shifted(payload, view, _RADII, self.generator(step)) if cheats else payload

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.kind is MessageKind.REVEAL and self.attacks(envelope.step) and receiver in self.colluders:
            return [Outgoing(envelope.encode(), _HEAD_START_SECONDS if self.me < receiver else 0.0)]
        return None

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        """Tell the other the sum of the column if this is the one that cheats, else subtract it from a product."""
        pair = self._pair(view)
        if not self.attacks(step) or self.me not in pair:
            return scalars
        owner, part = pair[0], view.owners.index(pair[0])
        if self.me == owner:
            total = math.fsum(product for product, _ in view.column.values())
            self.channel.post(step, _TOPIC, self.me, struct.pack("<d", total))
            return scalars
        note = self.channel.read(step, _TOPIC).get(owner, bytes(8))
        false = scalars.products[part] - struct.unpack("<d", note)[0]
        return dataclasses.replace(scalars, products=(*scalars.products[:part], false, *scalars.products[part + 1 :]))

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        return None if honest is not None and honest.accused in self.colluders else honest

    def _pair(self, view: View) -> list[PeerId]:
        """The colluder that cheats and the one that covers up, both with a row; nobody if there are not two."""
        found = sorted(peer for peer in view.owners if peer in self.colluders)
        return found[:2] if len(found) > 1 else []
