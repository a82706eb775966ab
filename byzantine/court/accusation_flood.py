"""Accuses everybody in turn, and says everything many times."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing, View
from btard.byzantine.attacker import Attacker
from btard.byzantine.settings import BehaviourSettings
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.bodies import Phase

_COPIES = 20


class AccusationFlood(Attacker):
    """One accusation is heard at a time, and a false one ends the flood."""

    name = "ACCUSATION_FLOOD"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._charges = 0

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        if not self.attacks(step):
            return honest
        others = [peer for peer in view.members if peer != self.me]
        self._charges += 1
        return Charge(ChargeKind.GRADIENT, others[self._charges % len(others)], 0)

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.kind is not MessageKind.REPORT or not self.attacks(envelope.step):
            return None
        return [Outgoing(envelope.encode())] * _COPIES
