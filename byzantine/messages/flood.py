"""Sends every message many times over, and asks for everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing, View
from btard.byzantine.attacker import Attacker
from btard.byzantine.settings import BehaviourSettings
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.messages.bodies import BROADCASTS, Commit
from btard.round.messages.requests import Pull

_COPIES = 50


class Flood(Attacker):
    """Each honest message comes with copies of itself, and with requests for all parts, aggregates and messages."""

    name = "FLOOD"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._peers: tuple[PeerId, ...] = ()

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        self._peers = view.owners
        return commit

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if not self.attacks(envelope.step):
            return None
        return [Outgoing(data) for data in (*[envelope.encode()] * _COPIES, *self._requests(envelope))]

    def _requests(self, envelope: Envelope) -> list[bytes]:
        if envelope.kind is not MessageKind.COMMIT:
            return []
        parts = range(len(self._peers))
        asked = [Pull(tuple((MessageKind.PART, peer, part) for part in parts)) for peer in sorted(self._peers)]
        broadcasts = [Pull(tuple((kind, peer, 0) for peer in sorted(self._peers))) for kind in BROADCASTS]
        aggregates = sorted((MessageKind.AGGREGATE, peer, part) for part, peer in enumerate(self._peers))
        return [
            Envelope.sign(
                self.key,
                run=envelope.run,
                step=envelope.step,
                attempt=envelope.attempt,
                kind=MessageKind.PULL,
                body=pull.encode(),
            ).encode()
            for pull in (*asked, *broadcasts, Pull(tuple(aggregates)))
        ]
