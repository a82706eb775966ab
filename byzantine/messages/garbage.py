"""Sends bytes that are no message, beside its honest ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btard.behaviour import Outgoing
from btard.byzantine.attacker import Attacker
from btard.identity import Envelope, PeerId

_JUNK = (
    b"",
    b"\xff" * 100,
    b"\x91" * 5000,  # lists within lists within lists
    b"\xdd\xff\xff\xff\xff",  # a list that claims four thousand million items
    b"\xc6\xff\xff\xff\xff",  # bytes that claim to be as many
    b"\x81\xa1a\x01",  # a map
    bytes(1 << 16),
)


class Garbage(Attacker):
    """Nothing of it is signed, so it proves nothing; the cut-off message could be anybody's."""

    name = "GARBAGE"

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        """Send junk, and the message cut off and with a byte too many, before the honest message."""
        if not self.attacks(envelope.step):
            return None
        data = envelope.encode()
        return [Outgoing(junk) for junk in (*_JUNK, data[:-1], data + b"\0", data)]
