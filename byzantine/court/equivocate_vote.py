"""Accuses an honest peer, and signs two different votes, one for each half of the peers."""

from __future__ import annotations

import dataclasses

from btard.behaviour import View
from btard.byzantine.messages.two_faced import TwoFaced
from btard.identity import MessageKind
from btard.round.messages.accusations import Charge, ChargeKind, Opinion, Vote
from btard.round.messages.bodies import Phase


class EquivocateVote(TwoFaced):
    """So that the halves count different majorities."""

    name = "EQUIVOCATE_VOTE"
    kind = MessageKind.VOTE

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        if honest is not None or not self.attacks(step):
            return honest
        return Charge(ChargeKind.GRADIENT, self.victim(step, view.members), 0)

    def other(self, body: bytes) -> bytes:
        vote = Vote.decode(body)
        guilty = tuple(dataclasses.replace(ballot, opinion=Opinion.GUILTY) for ballot in vote.ballots)
        return dataclasses.replace(vote, ballots=guilty).encode()
