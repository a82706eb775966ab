"""Sends its messages of earlier steps and attempts again, and some of another run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing
from btard.byzantine.attacker import Attacker
from btard.byzantine.settings import BehaviourSettings
from btard.identity import Envelope, PeerId

_REMEMBERED = 32


class Replay(Attacker):
    """Everybody could do that with anybody's messages, so it must have no effect at all."""

    name = "REPLAY"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._old: deque[Envelope] = deque(maxlen=_REMEMBERED)

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        """Send old messages, and one of another run, before the honest one."""
        if envelope not in self._old:
            self._old.append(envelope)
        if not self.attacks(envelope.step):
            return None
        elsewhere = Envelope.sign(
            self.key,
            run=bytes(len(envelope.run)),
            step=envelope.step,
            attempt=envelope.attempt,
            kind=envelope.kind,
            body=envelope.body[:-1],
        )
        return [Outgoing(old.encode()) for old in (*self._old, elsewhere, envelope)]
