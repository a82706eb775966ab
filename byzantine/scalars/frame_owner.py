"""Publishes a false product about a row of an honest owner, to everyone but that owner."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing, View
from btard.byzantine.scalars.false_product import FalseProduct
from btard.byzantine.settings import BehaviourSettings
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.messages.bodies import Scalars


class FrameOwner(FalseProduct):
    """The owner's part does not add up, and the only one that could say why has not heard the lie."""

    name = "FRAME_OWNER"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._framed: PeerId | None = None

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        self._framed = self.victim(step, view.owners) if self.attacks(step) else None
        return super().scalars(step, scalars, view)

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        return () if envelope.kind is MessageKind.SCALARS and receiver == self._framed else None
