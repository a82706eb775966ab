"""What a stage was to say in a step, computed again from its weights and from what it was sent."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from btard.identity import Malformed
from btard.pipeline.caches.delta import CachesDiffer
from btard.pipeline.caches.shared import SharedBoundary, ShownEntries, stateless_same
from btard.pipeline.codecs import Codec
from btard.pipeline.codecs.stateless import Plain
from btard.pipeline.justice.case import CasePiece, Crossing
from btard.pipeline.justice.facts import PlanFacts
from btard.pipeline.schedule.exchange import StepExchange
from btard.pipeline.schedule.loss_scale import read_scale
from btard.pipeline.schedule.state import weights_from_bytes
from btard.pipeline.schedule.worker import StageWorker
from btard.pipeline.stages.model_stage import ModelStage
from btard.pipeline.step.channels import backward_seeds, decode_back, encode_back, forward_seeds
from btard.tasks.base import Batch


class Retrial:
    """One stage's step, as far as it is asked for.

    Attributes:
        worker: with the weights before the step.
        step: which.
        exchange: which rows stages tell.
    """

    def __init__(self, facts: PlanFacts, stage: int, step: int, weights: bytes, scale: bytes) -> None:
        """Build the stage.

        Args:
            scale: of its losses before the step, as `StageState` has it.

        Raises:
            Malformed: the weights are of another size, or the scale of another precision.
        """
        self._facts, self._stage, self.step = facts, stage, step
        self._is_last = stage == facts.cut.stages - 1
        state = weights_from_bytes(facts.cut, stage, weights)
        self.worker = StageWorker(ModelStage(facts.cut, stage, state), facts.optimizer)
        self.worker.scale = read_scale(scale, scaled=facts.optimizer.scaled)
        self.exchange = StepExchange(facts.cut)

    def activation(self, piece: CasePiece, batch: Batch, samples: list[int]) -> bytes:
        """Return the bytes that the stage was to send forward; of the last stage nothing.

        Raises:
            Malformed: what it was sent is none of the agreed codec's, or what is shown of the caches is false.
        """
        facts, given = self._facts, piece.given
        received = None
        if given is not None:
            boundary = shown_boundary(facts, piece.inward)
            if boundary.kept(samples, piece.inward.form) != given.header.kept:
                raise Malformed("what is shown of a cache is not what the sender has signed")
            found = boundary.decode(given.payload, samples, facts.model.shape, piece.inward.form)
            if isinstance(found, CachesDiffer):
                raise Malformed("what is shown of a cache is not what the sender kept")
            received = found
        output = self.worker.forward(piece.number, batch, received)
        if self._is_last:
            return b""
        boundary = shown_boundary(facts, piece.outward)
        if piece.activation is None or boundary.kept(samples, piece.outward.form) != piece.activation.header.kept:
            raise Malformed("what is shown of a cache is not what the accused has signed")
        seeds = forward_seeds(facts.run, self.step, self._stage, samples)
        return boundary.encode(samples, output, seeds, piece.outward.form, keep=False)

    def gradient(self, piece: CasePiece, samples: list[int]) -> bytes:
        """Return the bytes that the stage was to send back, after `activation`; of the first stage nothing.

        Raises:
            Malformed: what it was sent is none of the agreed codec's.
        """
        facts = self._facts
        gradient = torch.tensor(1.0 / facts.model.micro_batches)
        codec, overflows = back_codec(facts, self.step), facts.optimizer.scaled
        if piece.back is not None:
            gradient = decode_back(codec, piece.back.payload, facts.model.shape, overflows)
        back = self.worker.backward(piece.number, gradient)
        if back is None:
            return b""
        return encode_back(codec, back, backward_seeds(facts.run, self.step, self._stage, samples), overflows)

    def rows(self, copies: Mapping[tuple[int, str], torch.Tensor] | None) -> torch.Tensor:
        """Return the row of tied gradients; or that of norms, once the gradients of all copies are given."""
        if copies is None:
            return self.exchange.tied_row(self._stage, self.worker.tied_gradients())
        self.worker.set_tied(copies)
        return self.exchange.norm_row(self._stage, self.worker.norms())

    def same_forward(self, piece: CasePiece, samples: list[int], own: bytes, told: bytes) -> bool:
        """Whether an activation that was sent counts as the own one; raises Malformed."""
        facts, crossing = self._facts, piece.outward
        boundary = shown_boundary(facts, crossing)
        return boundary.same(own, told, samples, facts.model.shape, crossing.form, facts.comparison)

    def same_back(self, own: bytes, told: bytes) -> bool:
        """Whether a gradient that was sent counts as the own one; raises Malformed."""
        facts = self._facts
        return stateless_same(back_codec(facts, self.step), own, told, facts.model.shape, facts.comparison)


def back_codec(facts: PlanFacts, step: int) -> Codec:
    """Return the codec of gradients in a step."""
    return Plain() if step < facts.model.raw_steps else facts.backward_codec


def shown_boundary(facts: PlanFacts, crossing: Crossing) -> SharedBoundary:
    """Return a boundary whose stages keep what is shown."""
    codec = facts.forward_codec
    return SharedBoundary(codec, None if isinstance(codec, Codec) else ShownEntries(crossing.kept))
