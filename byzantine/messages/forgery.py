"""Sends messages in the names of others, and its own under signatures that do not verify."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing, View
from btard.byzantine.attacker import Attacker
from btard.byzantine.settings import BehaviourSettings
from btard.identity import Envelope, PeerId
from btard.round.messages.bodies import Commit


class Forgery(Attacker):
    """Ahead of each honest message come one of a victim and one without a valid signature."""

    name = "FORGERY"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._framed: PeerId | None = None

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        self._framed = self.victim(step, view.members)
        return commit

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        """Send one of a victim, one of the receiver and two with false signatures before the honest message."""
        if not self.attacks(envelope.step) or self._framed is None:
            return None
        forged = [
            dataclasses.replace(envelope, author=self._framed),
            dataclasses.replace(envelope, author=receiver),
            dataclasses.replace(envelope, signature=bytes(64)),
            dataclasses.replace(envelope, body=envelope.body + b"\0"),
        ]
        return [Outgoing(message.encode()) for message in (*forged, envelope)]
