"""Accuses an honest peer, and votes late before half of the peers."""

from __future__ import annotations

from btard.behaviour import View
from btard.byzantine.messages.late import Late
from btard.identity import MessageKind
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.bodies import Phase


class LateVote(Late):
    """Around the deadline some count it, and some do not: the relay of votes has to make up for it."""

    name = "LATE_VOTE"
    kind = MessageKind.VOTE

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        if honest is not None or not self.attacks(step):
            return honest
        return Charge(ChargeKind.GRADIENT, self.victim(step, view.members), 0)
