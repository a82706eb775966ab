"""Reports with as many messages attached as there is room for, none of which belongs there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing
from btard.byzantine.attacker import Attacker
from btard.byzantine.settings import BehaviourSettings
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.messages.accusations import Report
from btard.round.messages.bodies import Phase

_LONG, _SHORT = 4096, 64
"""Messages in each of the two reports: more than a roster of a few dozen may attach, and fewer."""


class PaperFlood(Attacker):
    """With each commitment come two reports full of true signatures of another step: one longer than any report may be,
    and a shorter one."""

    name = "PAPER_FLOOD"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._junk: tuple[bytes, ...] = ()
        self._made: dict[tuple[int, int], list[bytes]] = {}

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        """Send two reports full of true signatures after each commitment."""
        if envelope.kind is not MessageKind.COMMIT or not self.attacks(envelope.step) or self.roster is None:
            return None
        place = (envelope.step, envelope.attempt)
        if place not in self._made:
            self._made = {place: [self._report(envelope, count) for count in (_LONG, _SHORT)]}
        return [Outgoing(data) for data in (envelope.encode(), *self._made[place])]

    def _report(self, like: Envelope, count: int) -> bytes:
        if not self._junk:
            votes = (i.to_bytes(3, "big") for i in range(_LONG))
            self._junk = tuple(self._signed(like, MessageKind.VOTE, body, like.step + 10**6) for body in votes)
        assert self.roster is not None
        report = Report(Phase.COMMIT, False, self.roster.members, (), None, self._junk[:count])
        return self._signed(like, MessageKind.REPORT, report.encode(), like.step, like.attempt)

    def _signed(self, like: Envelope, kind: MessageKind, body: bytes, step: int, attempt: int = 0) -> bytes:
        return Envelope.sign(self.key, run=like.run, step=step, attempt=attempt, kind=kind, body=body).encode()
