"""Attaches to its reports what somebody else is said to have signed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing
from btard.byzantine.attacker import Attacker
from btard.hashing import digest
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.messages.accusations import Report
from btard.round.messages.bodies import Phase, Reveal


class ForgedAttachment(Attacker):
    """The form of its report is right, but for one signature inside, which an honest peer would have verified."""

    name = "FORGED_ATTACHMENT"

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        """Send a report that carries a message of a victim with a false signature after the commitment."""
        if envelope.kind is not MessageKind.COMMIT or not self.attacks(envelope.step) or self.roster is None:
            return None
        place = {"run": envelope.run, "step": envelope.step, "attempt": envelope.attempt}
        share = Reveal(digest(b"share"), digest(b"salt")).encode()
        true = Envelope.sign(self.key, kind=MessageKind.REVEAL, body=share, **place)  # type: ignore[arg-type]
        forged = dataclasses.replace(true, author=self.victim(envelope.step, self.roster.members)).encode()
        body = Report(Phase.COMMIT, False, self.roster.members, (), None, (forged,)).encode()
        report = Envelope.sign(self.key, kind=MessageKind.REPORT, body=body, **place)  # type: ignore[arg-type]
        return [Outgoing(envelope.encode()), Outgoing(report.encode())]
