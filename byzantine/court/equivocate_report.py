"""Signs two different reports of a failed attempt, one for each half of the peers, having made it fail."""

from __future__ import annotations

import dataclasses

from btard.behaviour import View
from btard.byzantine.messages.two_faced import TwoFaced
from btard.identity import MessageKind
from btard.round.messages.accusations import Charge, ChargeKind, Fault, Report
from btard.round.messages.bodies import Phase


class EquivocateReport(TwoFaced):
    """It accuses an owner, so that an attempt fails; one half then hears of a complaint, the other does not."""

    name = "EQUIVOCATE_REPORT"
    kind = MessageKind.REPORT

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        if phase is not Phase.MEASURE or not self.attacks(step):
            return honest
        owner = self.victim(0, view.owners)
        return Charge(ChargeKind.WRONG_AGGREGATE, owner, view.owners.index(owner))

    def other(self, body: bytes) -> bytes:
        report = Report.decode(body)
        complaint = (self.victim(0, report.members), Fault.NO_PART)
        return dataclasses.replace(report, reaction=False, charge=None, complaints=(complaint,)).encode()
