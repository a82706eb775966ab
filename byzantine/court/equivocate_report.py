"""Signs two different reports of a failed attempt, one for each half of the peers, having made it fail."""

from __future__ import annotations

import dataclasses

from btard.behaviour import View
from btard.byzantine.messages.two_faced import TwoFaced
from btard.identity import MessageKind
from btard.round.messages.accusations import Fault, Report
from btard.round.messages.bodies import Reveal


class EquivocateReport(TwoFaced):
    """It reveals nothing, so that an attempt fails; one half then hears of complaints that the other does not hear."""

    name = "EQUIVOCATE_REPORT"
    kind = MessageKind.REPORT

    def reveal(self, step: int, reveal: Reveal, view: View) -> Reveal | None:
        return None if self.attacks(step) else reveal

    def other(self, body: bytes) -> bytes:
        report = Report.decode(body)
        complaint = (self.victim(0, report.members), Fault.NO_PART)
        return dataclasses.replace(report, reaction=False, complaints=(complaint,)).encode()
