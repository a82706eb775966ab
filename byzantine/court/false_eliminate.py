"""Claims that an honest peer has sent it nothing, and falls silent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing, View
from btard.byzantine.attacker import Attacker
from btard.byzantine.settings import BehaviourSettings
from btard.hashing import Payload
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.messages.accusations import Fault, Report
from btard.round.messages.bodies import Commit, Phase


class FalseEliminate(Attacker):
    """Right after its commitment; nobody can tell which of the two lies."""

    name = "FALSE_ELIMINATE"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._members: tuple[PeerId, ...] = ()

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        self._members = view.members
        return commit

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return None if self.attacks(step) else payload

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        """Send the commitment and a complaint that a victim has sent no part, and nothing else in the step."""
        if not self.attacks(envelope.step):
            return None
        if envelope.kind is not MessageKind.COMMIT:
            return ()
        complaint = (self.victim(envelope.step, self._members), Fault.NO_PART)
        report = Report(Phase.SCATTER, False, self._members, (complaint,), None, ())
        claim = Envelope.sign(
            self.key,
            run=envelope.run,
            step=envelope.step,
            attempt=envelope.attempt,
            kind=MessageKind.REPORT,
            body=report.encode(),
        )
        return [Outgoing(envelope.encode()), Outgoing(claim.encode())]
