"""What stages send each other: a short signed header, and the bytes whose digest it holds.

The header says in which run, step and attempt its author sends what of which micro-batch, what it has computed that
from, and what it keeps of the samples' last visit. Its signature makes it evidence, without the bytes.
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
MAX_ATTEMPTS = 256
MAX_STAGE_HEADER = 256
MAX_SIGNED_HEADER = MAX_STAGE_HEADER + SIGNATURE_SIZE + 16
MAX_STAGE_PAYLOAD = 1 << 30
"""Bytes of the largest activation, gradient or state that travels at once."""

NOTHING = bytes(DIGEST_SIZE)
"""In place of a digest where there is nothing to digest."""

_DOMAIN = b"btard pipeline message 2\0"


class StageMessageKind(IntEnum):
    """What the bytes are."""

    ACTIVATION = 1
    GRADIENT = 2
    TIED = 3
    """The author's gradients of all weights that other stages have copies of."""
    NORMS = 4
    """The norm of each of the author's gradients."""
    ALARM = 5
    """An `Accusation`: a stage has said something else than its author computes."""
    RAW = 6
    """The author keeps other activations of a boundary than its sender; the micro-batch is the boundary's source."""
    REDO = 7
    """The ALARM or RAW that all act upon, as its author signed it; from the last stage alone."""
    PLEDGE = 8
    """Before a step: digests of what the author holds, and of its share of the step's randomness."""
    SEAL = 9
    """That share, once the author has what it needs to step."""
    ACCEPT = 10
    """The step counts, and which seats are empty from the next one on; from the last stage alone."""
    ECHO = 11
    """A header of a neighbour of the author, for a stage that checks that neighbour."""
    RECORD = 12
    """All that a stage has computed a step from, for the stage that is drawn to compute it again."""
    AUDITED = 13
    """The author has computed a stage's step again, and found it right; the micro-batch is the stage."""
    CASE = 14
    """All that a third stage needs to say which of two has lied."""
    VERDICT = 15
    """That stage's finding, with the case."""
    ASK = 16
    """The author lacks a message of the receiver."""
    WITNESS = 17
    """The headers that a stage has sent a neighbour, for the stage that is drawn to check it; the micro-batch is it."""


@dataclass(frozen=True, slots=True)
class StageHeader:
    """What a stage signs.

    Attributes:
        run: the run's name.
        step: of the optimizer.
        attempt: 0, or more after alarms.
        kind: what the bytes are.
        stage: the author's.
        micro_batch: its number in the step; 0 where a message concerns all.
        payload: digest of the bytes as they travel.
        basis: digest of the bytes from which the author has computed them.
        kept: digest of what the author keeps of the samples' last visit, where it sends differences from that.
    """

    run: bytes
    step: int
    attempt: int
    kind: StageMessageKind
    stage: int
    micro_batch: int
    payload: bytes
    basis: bytes = NOTHING
    kept: bytes = NOTHING

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        numbers = [self.step, self.attempt, int(self.kind), self.stage, self.micro_batch]
        return encode([self.run, *numbers, self.payload, self.basis, self.kept])

    @classmethod
    def decode(cls, data: bytes) -> StageHeader:
        """Read bytes from the network; raises Malformed."""
        fields = Reader(data, limit=MAX_STAGE_HEADER)
        fields.fields(9)
        run, step, attempt = fields.blob(RUN_ID_SIZE), fields.number(0, MAX_STEPS), fields.number(0, MAX_ATTEMPTS - 1)
        kind = StageMessageKind(fields.number(min(StageMessageKind), max(StageMessageKind)))
        stage, micro_batch = fields.number(0, MAX_STAGES - 1), fields.number(0, MAX_MICRO_BATCHES - 1)
        digests = [fields.blob(DIGEST_SIZE) for _ in range(3)]
        fields.end()
        return cls(run, step, attempt, kind, stage, micro_batch, *digests)


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """A header and its author's signature: what a message leaves behind as evidence."""

    header: StageHeader
    signature: bytes

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.header.encode(), self.signature])

    @classmethod
    def decode(cls, data: bytes) -> SignedHeader:
        """Read bytes from the network; raises Malformed."""
        fields = Reader(data, limit=MAX_SIGNED_HEADER)
        fields.fields(2)
        signed = cls(StageHeader.decode(fields.blob(most=MAX_STAGE_HEADER)), fields.blob(SIGNATURE_SIZE))
        fields.end()
        return signed

    def verify(self, author: PeerId) -> None:
        """Check that a peer has signed it; raises Malformed."""
        if not author.has_signed(_DOMAIN + self.header.encode(), self.signature):
            raise Malformed("the signature does not verify")


@dataclass(frozen=True, slots=True)
class StageMessage:
    """A header, its author's signature, and the bytes.

    Attributes:
        header: what is signed.
        signature: of the author's key.
        payload: of an activation or a gradient what the boundary's codec has written; of rows float32, little-endian.
        attached: the signed header of the message whose digest is the basis; empty where there is none.
    """

    header: StageHeader
    signature: bytes
    payload: bytes
    attached: bytes = b""

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
        *,
        source: StageMessage | None = None,
        kept: bytes = NOTHING,
    ) -> StageMessage:
        """Return a message that a key has signed.

        Args:
            place: step and attempt.
            source: the message from which the author has computed this one.
            kept: see `StageHeader`.
        """
        basis = NOTHING if source is None else source.header.payload
        header = StageHeader(run, *place, kind, stage, micro_batch, digest(payload), basis, kept)
        attached = b"" if source is None else source.signed.encode()
        return cls(header, key.sign(_DOMAIN + header.encode()), payload, attached)

    @property
    def signed(self) -> SignedHeader:
        """The message without its bytes."""
        return SignedHeader(self.header, self.signature)

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.header.encode(), self.signature, self.payload, self.attached])

    @classmethod
    def decode(cls, data: bytes, *, most: int = MAX_STAGE_PAYLOAD) -> StageMessage:
        """Read bytes from the network, and check that the payload is that of the header.

        Raises:
            Malformed: it is not, there are more than `most` bytes of it, or the bytes are not canonical.
        """
        fields = Reader(data, limit=most + 2 * MAX_STAGE_HEADER + MAX_SIGNED_HEADER)
        fields.fields(4)
        header = StageHeader.decode(fields.blob(most=MAX_STAGE_HEADER))
        signature, payload = fields.blob(SIGNATURE_SIZE), fields.blob(most=most)
        message = cls(header, signature, payload, fields.blob(most=MAX_SIGNED_HEADER))
        fields.end()
        if digest(message.payload) != header.payload:
            raise Malformed("the bytes are not those that were signed")
        return message

    def verify(self, author: PeerId) -> None:
        """Check that a peer has signed the header; raises Malformed."""
        self.signed.verify(author)


def to_payload(tensor: torch.Tensor) -> bytes:
    """Return the bytes of a float32 tensor as they travel."""
    return bytes(bytes_of(tensor))


def from_payload(payload: bytes, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the float32 tensor that travelled; the size of the payload has been checked."""
    return torch.from_numpy(np.frombuffer(bytearray(payload), dtype="<f4")).reshape(shape)
