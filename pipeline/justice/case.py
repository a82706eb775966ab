"""All that a third stage, or a stranger, needs to say which of two stages has lied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from btard.hashing import DIGEST_SIZE
from btard.identity import IdentityKey, Malformed, PeerId
from btard.identity.codec import as_bytes, as_fields, as_int, as_list, as_text, decode, encode
from btard.identity.peer_id import SIGNATURE_SIZE
from btard.pipeline.caches.shared import SendForm
from btard.pipeline.justice.facts import PlanFacts
from btard.pipeline.machine.messages import MAX_MICRO_BATCHES, SignedHeader, StageMessage
from btard.pipeline.schedule.loss_scale import MAX_SCALE
from btard.pipeline.stages.split import MAX_STAGES
from btard.tasks.base import Batch
from btard.tensors import bytes_of

MAX_CASE = 1 << 30
"""Bytes of a case."""

_MOST_TENSORS = 64
_MOST_SAMPLES = 1 << 20
_DTYPES = {"int64": torch.int64, "float32": torch.float32, "bool": torch.bool, "int32": torch.int32}
_DOMAIN = b"btard pipeline case 1\0"


@dataclass(frozen=True, slots=True)
class Crossing:
    """How a micro-batch crosses a boundary, and what was kept of its samples before."""

    form: SendForm
    kept: Mapping[int, bytes]

    def pack(self) -> list[Any]:
        """Return it as plain values."""
        return [self.form.value, [[sample, self.kept[sample]] for sample in sorted(self.kept)]]

    @classmethod
    def unpack(cls, value: Any) -> Crossing:
        """Read plain values of a stranger; raises Malformed."""
        form, kept = as_fields(value, 2)
        pairs = [as_fields(pair, 2) for pair in as_list(kept, most=_MOST_SAMPLES)]
        entries = {as_int(sample, 0, 2**63 - 1): as_bytes(entry, most=MAX_CASE) for sample, entry in pairs}
        try:
            return cls(SendForm(as_text(form, most=8)), entries)
        except ValueError as error:
            raise Malformed(str(error)) from None


@dataclass(frozen=True, slots=True)
class CasePiece:
    """One micro-batch of the accused's step.

    Attributes:
        number: of the micro-batch.
        given: the activation that the accused was sent; None for the first stage.
        back: the gradient that it was sent; None for the last stage, and where it does not matter.
        activation: the header of the activation that it has sent; None for the last stage.
        gradient: the header of the gradient that it has sent; None for the first stage, and where it does not matter.
        inward: how `given` crossed its boundary.
        outward: how the own activation did.
    """

    number: int
    given: StageMessage | None
    back: StageMessage | None
    activation: SignedHeader | None
    gradient: SignedHeader | None
    inward: Crossing
    outward: Crossing

    def pack(self) -> list[Any]:
        """Return it as plain values."""
        shown = [b"" if item is None else item.encode() for item in self._items()]
        return [self.number, *shown, self.inward.pack(), self.outward.pack()]

    def _items(self) -> tuple[StageMessage | SignedHeader | None, ...]:
        return self.given, self.back, self.activation, self.gradient

    @classmethod
    def unpack(cls, value: Any) -> CasePiece:
        """Read plain values of a stranger; raises Malformed."""
        number, given, back, activation, gradient, inward, outward = as_fields(value, 7)
        return cls(
            as_int(number, 0, MAX_MICRO_BATCHES - 1),
            _message(given),
            _message(back),
            _header(activation),
            _header(gradient),
            Crossing.unpack(inward),
            Crossing.unpack(outward),
        )


@dataclass(frozen=True, slots=True)
class StageCase:
    """A dispute.

    Attributes:
        facts: of the plan, as the accused has pledged them.
        pledge: of the accused, before the step; None where its headers alone decide.
        said: the message in question, whole; None where its header is enough.
        batches: all micro-batches of the step.
        samples: the ids of their samples.
        weights: of the accused before the step.
        optimizer: what its optimizer remembered; empty where the digest of that is enough.
        pieces: the micro-batches that matter.
        tied: what all stages have told of their tied weights.
        norms: what all have told of their norms.
        optimizer_digest: of what its optimizer remembered, where that itself is left out.
        scale: of its losses before the step; empty where they are not scaled.
    """

    facts: PlanFacts
    pledge: StageMessage | None = None
    said: StageMessage | None = None
    batches: Sequence[Batch] = ()
    samples: Sequence[Sequence[int]] = ()
    weights: bytes = b""
    optimizer: bytes = b""
    pieces: Sequence[CasePiece] = ()
    tied: Sequence[StageMessage] = ()
    norms: Sequence[StageMessage] = ()
    optimizer_digest: bytes = b""
    scale: bytes = b""

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode(
            [
                self.facts.encode(),
                b"" if self.pledge is None else self.pledge.encode(),
                b"" if self.said is None else self.said.encode(),
                [_pack_batch(batch) for batch in self.batches],
                [list(ids) for ids in self.samples],
                self.weights,
                self.optimizer,
                [piece.pack() for piece in self.pieces],
                [message.encode() for message in self.tied],
                [message.encode() for message in self.norms],
                self.optimizer_digest,
                self.scale,
            ]
        )

    @classmethod
    def decode(cls, data: bytes) -> StageCase:
        """Read bytes of a stranger; raises Malformed."""
        facts, pledge, said, batches, samples, weights, optimizer, pieces, tied, norms, known, scale = as_fields(
            decode(data, limit=MAX_CASE), 12
        )
        return cls(
            PlanFacts.decode(as_bytes(facts, most=1 << 20)),
            _message(pledge),
            _message(said),
            [_unpack_batch(batch) for batch in as_list(batches, most=MAX_MICRO_BATCHES)],
            [
                [as_int(sample, 0, 2**63 - 1) for sample in as_list(ids, most=_MOST_SAMPLES)]
                for ids in as_list(samples, most=MAX_MICRO_BATCHES)
            ],
            as_bytes(weights, most=MAX_CASE),
            as_bytes(optimizer, most=MAX_CASE),
            [CasePiece.unpack(piece) for piece in as_list(pieces, most=MAX_MICRO_BATCHES)],
            _messages(tied),
            _messages(norms),
            as_bytes(known, most=DIGEST_SIZE),
            as_bytes(scale, most=MAX_SCALE),
        )


@dataclass(frozen=True, slots=True)
class FiledCase:
    """A case as its accuser has signed it, with the alarm: one that proves nothing falls back on the accuser."""

    case: bytes
    signature: bytes

    @classmethod
    def sign(cls, key: IdentityKey, alarm: StageMessage, case: StageCase) -> FiledCase:
        """Return a case that a key has signed."""
        data = case.encode()
        return cls(data, key.sign(_DOMAIN + alarm.signature + data))

    def verify(self, accuser: PeerId, alarm: StageMessage) -> None:
        """Check that a peer has filed it about an alarm; raises Malformed."""
        if not accuser.has_signed(_DOMAIN + alarm.signature + self.case, self.signature):
            raise Malformed("a case that its accuser has not signed")

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.case, self.signature])

    @classmethod
    def decode(cls, data: bytes) -> FiledCase:
        """Read bytes of a stranger; raises Malformed."""
        case, signature = as_fields(decode(data, limit=MAX_CASE), 2)
        return cls(as_bytes(case, most=MAX_CASE), as_bytes(signature, SIGNATURE_SIZE))


def _message(data: Any) -> StageMessage | None:
    told = as_bytes(data, most=MAX_CASE)
    return StageMessage.decode(told) if told else None


def _messages(value: Any) -> list[StageMessage]:
    found = [_message(item) for item in as_list(value, most=MAX_STAGES)]
    return [message for message in found if message is not None]


def _header(data: Any) -> SignedHeader | None:
    told = as_bytes(data, most=MAX_CASE)
    return SignedHeader.decode(told) if told else None


def _pack_batch(batch: Batch) -> list[Any]:
    tensors = []
    for name in sorted(batch.tensors):
        tensor = batch.tensors[name].cpu()
        kind = str(tensor.dtype).removeprefix("torch.")
        tensors.append([name, kind, list(tensor.shape), bytes(bytes_of(tensor))])
    return [batch.samples, tensors]


def _unpack_batch(value: Any) -> Batch:
    samples, tensors = as_fields(value, 2)
    found = {}
    for item in as_list(tensors, most=_MOST_TENSORS):
        name, kind, shape, data = as_fields(item, 4)
        dtype = _DTYPES.get(as_text(kind, most=16))
        sizes = [as_int(size, 1, _MOST_SAMPLES) for size in as_list(shape, most=8)]
        told = as_bytes(data, most=MAX_CASE)
        if dtype is None or len(told) != dtype.itemsize * torch.Size(sizes).numel():
            raise Malformed("a tensor of a batch with another dtype or size than it has")
        found[as_text(name, most=DIGEST_SIZE)] = torch.frombuffer(bytearray(told), dtype=dtype).reshape(sizes)
    return Batch(found, as_int(samples, 1, _MOST_SAMPLES))
