"""Signs messages that are short to send and would be long to read: lists of lists that hold nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing
from btard.byzantine.attacker import Attacker
from btard.byzantine.settings import BehaviourSettings
from btard.identity import Envelope, MessageKind, PeerId
from btard.identity.envelope import MAX_ENVELOPE

_FRAME = 1 << 10


class EmptyLists(Attacker):
    """With each commitment come votes of empty lists: one as long as any message may be, and short ones."""

    name = "EMPTY_LISTS"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._made: dict[tuple[bytes, int, int], list[bytes]] = {}

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        """Send votes of empty lists after each commitment."""
        if envelope.kind is not MessageKind.COMMIT or not self.attacks(envelope.step):
            return None
        place = (envelope.run, envelope.step, envelope.attempt)
        if place not in self._made:
            self._made = {place: [self._vote(envelope, size) for size in (MAX_ENVELOPE - _FRAME, 1000, 100)]}
        return [Outgoing(data) for data in (envelope.encode(), *self._made[place])]

    def _vote(self, like: Envelope, size: int) -> bytes:
        body = b"\xdd" + size.to_bytes(4, "big") + b"\x90" * size
        place = {"run": like.run, "step": like.step, "attempt": like.attempt}
        return Envelope.sign(self.key, kind=MessageKind.VOTE, body=body, **place).encode()  # type: ignore[arg-type]
