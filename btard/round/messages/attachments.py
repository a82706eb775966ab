"""Signed messages inside of others: each is verified once in an attempt."""

from __future__ import annotations

from btard.identity import Envelope, Malformed, MessageKind

ECHOED = frozenset({MessageKind.COMMIT, MessageKind.AGGREGATE, MessageKind.REVEAL, MessageKind.SCALARS})
"""Broadcasts that decide what peers compute: two versions of one excuse a peer that was misled by them."""


SHOWN = ECHOED | {MessageKind.DIGEST}
"""What a peer attaches to a report that charges somebody, or that found another digest."""


class Papers:
    """The messages that others have carried to this peer in an attempt, by their bytes.

    Members bring the same ones again and again, and nobody can push any of them out: of each author and kind a report
    may carry two, nothing of a report is read after the first false signature, and two reports of a member are read.
    """

    def __init__(self) -> None:
        self._read: dict[bytes, Envelope | None] = {}

    def read(self, data: bytes) -> Envelope:
        """Return a message, whose signature is verified once; raises Malformed."""
        if data not in self._read:
            try:
                self._read[data] = Envelope.decode(data)
            except Malformed:
                self._read[data] = None
        known = self._read[data]
        if known is None:
            raise Malformed("a signature inside does not verify")
        return known
