"""What stages send each other: a short signed header, and the numbers whose digest it holds.

The header says in which run, step and attempt its author sends what of which micro-batch; its signature makes it
evidence that the author has sent these numbers, without the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch

from btard.hashing import DIGEST_SIZE, digest
from btard.identity import IdentityKey, Malformed, PeerId
from btard.identity.codec import Reader, encode
from btard.identity.envelope import RUN_ID_SIZE
from btard.identity.peer_id import SIGNATURE_SIZE
from btard.pipeline.stages.split import MAX_STAGES
from btard.tensors import bytes_of
from btard.vocabulary import MAX_STEPS

MAX_MICRO_BATCHES = 1 << 16
MAX_STAGE_HEADER = 256
MAX_STAGE_PAYLOAD = 1 << 30
"""Bytes of the largest activation or gradient that travels at once."""

_DOMAIN = b"btard pipeline message 1\0"


class StageMessageKind(IntEnum):
    """What the numbers are."""

    ACTIVATION = 1
    GRADIENT = 2
    TIED = 3
    """The author's gradients of all weights that other stages have copies of."""
    NORMS = 4
    """The norm of each of the author's gradients."""
    ALARM = 5
    """No numbers: the author has computed another activation than the stage before it has sent."""
    REDO = 6
    """The alarm that all act upon, as its author signed it; from the last stage alone."""


@dataclass(frozen=True, slots=True)
class StageHeader:
    """What a stage signs.

    Attributes:
        run: the run's name.
        step: of the optimizer.
        attempt: 0, or 1 after an alarm.
        kind: what the numbers are.
        stage: the author's.
        micro_batch: its number in the step; 0 where a message concerns all.
        payload: digest of the numbers as they travel.
    """

    run: bytes
    step: int
    attempt: int
    kind: StageMessageKind
    stage: int
    micro_batch: int
    payload: bytes

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        numbers = [self.step, self.attempt, int(self.kind), self.stage, self.micro_batch]
        return encode([self.run, *numbers, self.payload])

    @classmethod
    def decode(cls, data: bytes) -> StageHeader:
        """Read bytes from the network; raises Malformed."""
        fields = Reader(data, limit=MAX_STAGE_HEADER)
        fields.fields(7)
        run, step, attempt = fields.blob(RUN_ID_SIZE), fields.number(0, MAX_STEPS), fields.number(0, 1)
        kind = StageMessageKind(fields.number(min(StageMessageKind), max(StageMessageKind)))
        stage, micro_batch = fields.number(0, MAX_STAGES - 1), fields.number(0, MAX_MICRO_BATCHES - 1)
        header = cls(run, step, attempt, kind, stage, micro_batch, fields.blob(DIGEST_SIZE))
        fields.end()
        return header


@dataclass(frozen=True, slots=True)
class StageMessage:
    """A header, its author's signature, and the numbers.

    Attributes:
        header: what is signed.
        signature: of the author's key.
        payload: float32, little-endian; of a REDO the alarm.
    """

    header: StageHeader
    signature: bytes
    payload: bytes

    @classmethod
    def sign(
        cls,
        key: IdentityKey,
        run: bytes,
        place: tuple[int, int],
        kind: StageMessageKind,
        stage: int,
        micro_batch: int = 0,
        payload: bytes = b"",
    ) -> StageMessage:
        """Return a message that a key has signed; `place` is step and attempt."""
        header = StageHeader(run, *place, kind, stage, micro_batch, digest(payload))
        return cls(header, key.sign(_DOMAIN + header.encode()), payload)

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.header.encode(), self.signature, self.payload])

    @classmethod
    def decode(cls, data: bytes, *, most: int = MAX_STAGE_PAYLOAD) -> StageMessage:
        """Read bytes from the network, and check that the numbers are those of the header.

        Raises:
            Malformed: they are not, there are more than `most` bytes of them, or the bytes are not canonical.
        """
        fields = Reader(data, limit=most + 2 * MAX_STAGE_HEADER)
        fields.fields(3)
        header = StageHeader.decode(fields.blob(most=MAX_STAGE_HEADER))
        message = cls(header, fields.blob(SIGNATURE_SIZE), fields.blob(most=most))
        fields.end()
        if digest(message.payload) != header.payload:
            raise Malformed("the numbers are not those that were signed")
        return message

    def verify(self, author: PeerId) -> None:
        """Check that a peer has signed the header; raises Malformed."""
        if not author.has_signed(_DOMAIN + self.header.encode(), self.signature):
            raise Malformed("the signature does not verify")


def to_payload(tensor: torch.Tensor) -> bytes:
    """Return the bytes of a float32 tensor as they travel."""
    return bytes(bytes_of(tensor))


def from_payload(payload: bytes, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the float32 tensor that travelled; the size of the payload has been checked."""
    return torch.from_numpy(np.frombuffer(bytearray(payload), dtype="<f4")).reshape(shape)
