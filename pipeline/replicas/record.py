"""What a replica shows of its step, and what its gradient had to be.

All replicas hold the same weights, so what is missing is what the stage was sent in its own pipeline: its neighbours
have signed that. So a record needs no other witness, and a replica has one of each step only, unless a neighbour signs
two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from btard.hashing import digest
from btard.identity import Malformed
from btard.identity.codec import as_list, decode, encode
from btard.pipeline.caches.delta import CachesDiffer
from btard.pipeline.codecs import NotFinite
from btard.pipeline.justice.case import MAX_CASE, CasePiece, StageCase
from btard.pipeline.justice.facts import PlanFacts
from btard.pipeline.justice.judgement import CaseUnfounded, check_piece
from btard.pipeline.justice.retrial import Retrial, back_codec, shown_boundary
from btard.pipeline.machine.messages import MAX_MICRO_BATCHES, SignedHeader, StageMessage
from btard.pipeline.replicas.gradients import flat_gradient, gradient_numbers
from btard.tasks.base import Batch


@dataclass(frozen=True, slots=True)
class ReplicaRecord:
    """What a stage was sent in a step and what it has sent, micro-batch by micro-batch."""

    pieces: tuple[CasePiece, ...]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([piece.pack() for piece in self.pieces])

    @classmethod
    def decode(cls, data: bytes) -> ReplicaRecord:
        """Read bytes of a stranger; raises Malformed."""
        pieces = as_list(decode(data, limit=MAX_CASE), most=MAX_MICRO_BATCHES)
        return cls(tuple(CasePiece.unpack(piece) for piece in pieces))


@dataclass(frozen=True)
class ReplicaStep:
    """A step of one pipeline as every replica knows it.

    Attributes:
        facts: of its plan, with the peers that had its stages.
        number: of the step.
        batches: its micro-batches.
        samples: the ids of their samples.
    """

    facts: PlanFacts
    number: int
    batches: Sequence[Batch]
    samples: Sequence[Sequence[int]]

    def check(self, stage: int, record: ReplicaRecord) -> None:
        """Check that a record is that of a stage's step: all micro-batches, each signed by those that have sent it.

        Raises:
            Malformed: it is not.
        """
        if [piece.number for piece in record.pieces] != list(range(self.facts.model.micro_batches)):
            raise Malformed("micro-batches are missing")
        case = StageCase(self.facts, batches=self.batches, samples=self.samples)
        attempts = {message.header.attempt for piece in record.pieces for message in _signed(piece)}
        if len(attempts) > 1:
            raise Malformed("messages of several attempts")
        at = (self.number, attempts.pop() if attempts else 0)
        for piece in record.pieces:
            try:
                check_piece(case, piece, stage, at, gradients=True)
            except CaseUnfounded as error:
                raise Malformed(str(error)) from None
            for message, neighbour in ((piece.given, stage - 1), (piece.back, stage + 1)):
                if message is not None and message.header.stage != neighbour:
                    raise Malformed("a message of a stage that is no neighbour")
            self._check_boundaries(piece)

    def _check_boundaries(self, piece: CasePiece) -> None:
        """Check that what was sent can be read, and that what is shown of caches is what its holders have signed."""
        facts, samples = self.facts, list(self.samples[piece.number])
        for header, crossing in ((piece.given, piece.inward), (piece.activation, piece.outward)):
            if (
                header is not None
                and shown_boundary(facts, crossing).kept(samples, crossing.form) != header.header.kept
            ):
                raise Malformed("what is shown of a cache is not what its holder has signed")
        if piece.given is not None:
            read = shown_boundary(facts, piece.inward).decode(
                piece.given.payload, samples, facts.model.shape, piece.inward.form
            )
            if isinstance(read, CachesDiffer):
                raise Malformed("what is shown of a cache is not what the sender kept")
        if piece.back is not None:
            back_codec(facts, self.number).decode(piece.back.payload, facts.model.shape)

    def recompute(self, stage: int, record: ReplicaRecord, weights: bytes) -> RecomputedStage:
        """Compute a stage's step again from a record that `check` has let pass.

        Args:
            weights: of the stage before the step, as `StageState` has them.

        """
        retrial = Retrial(self.facts, stage, self.number, weights, b"")
        try:
            true = self._says(retrial, record)
        except NotFinite:  # an honest stage sends nothing then
            return RecomputedStage(torch.zeros(gradient_numbers(retrial.worker)), said_so=False)
        return RecomputedStage(flat_gradient(retrial.worker), true)

    def _says(self, retrial: Retrial, record: ReplicaRecord) -> bool:
        """Do all passes, and return whether the stage has sent its neighbours what follows from them."""
        true = True
        for piece in record.pieces:
            said = retrial.activation(piece, self.batches[piece.number], list(self.samples[piece.number]))
            true &= piece.activation is None or digest(said) == piece.activation.header.payload
        for piece in record.pieces:
            said = retrial.gradient(piece, list(self.samples[piece.number]))
            true &= piece.gradient is None or digest(said) == piece.gradient.header.payload
        return true


@dataclass(frozen=True)
class RecomputedStage:
    """A stage's step, computed again.

    Attributes:
        gradient: that it had to submit, float32 of shape (d,).
        said_so: whether all that it has sent its neighbours is what it had to send them.
    """

    gradient: torch.Tensor
    said_so: bool


def _signed(piece: CasePiece) -> list[StageMessage | SignedHeader]:
    return [item for item in (piece.given, piece.back, piece.activation, piece.gradient) if item is not None]
