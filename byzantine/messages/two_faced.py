"""The base of attackers that sign something else for half of the peers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing
from btard.byzantine.attacker import Attacker
from btard.identity import Envelope, MessageKind, PeerId


class TwoFaced(Attacker):
    """`kind` says in which messages, `other` what."""

    kind: MessageKind

    @abstractmethod
    def other(self, body: bytes) -> bytes:
        """Return what the fooled half is told, as a valid body of the same kind."""

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.kind is not self.kind or not self.attacks(envelope.step) or not self.fools(envelope.step, receiver):
            return None
        return [Outgoing(sign(self.other(envelope.body)).encode())]
