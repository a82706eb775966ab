"""A message of one stage, as another stage shows it a third one."""

from __future__ import annotations

from dataclasses import dataclass

from btard.hashing import digest
from btard.identity import Malformed
from btard.identity.codec import Reader, encode
from btard.pipeline.machine.messages import MAX_SIGNED_HEADER, SignedHeader, StageMessage


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message as a third stage is shown it: signed, and with its payload only where bits may differ."""

    signed: SignedHeader
    payload: bytes = b""

    @classmethod
    def of(cls, message: StageMessage, *, whole: bool) -> ShownMessage:
        """Return how a message is shown."""
        return cls(message.signed, message.payload if whole else b"")

    def is_of(self, payload: bytes) -> bool:
        """Whether the author has signed these bytes."""
        return digest(payload) == self.signed.header.payload

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.signed.encode(), self.payload])

    @classmethod
    def decode(cls, data: bytes) -> ShownMessage:
        """Read bytes from the network; raises Malformed."""
        fields = Reader(data, limit=len(data))
        fields.fields(2)
        shown = cls(SignedHeader.decode(fields.blob(most=MAX_SIGNED_HEADER)), fields.blob())
        fields.end()
        if shown.payload and not shown.is_of(shown.payload):
            raise Malformed("the bytes are not those that were signed")
        return shown
