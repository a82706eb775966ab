"""Every boundary that a stage has to do with: activations and gradients become messages there, and tensors again."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from btard.errors import UserError
from btard.pipeline.caches.boundary import check_sample_ids
from btard.pipeline.caches.delta import CachesDiffer
from btard.pipeline.caches.shared import SendForm, SharedBoundary, largest_message, stateless_same
from btard.pipeline.codecs import Codec, NotFinite, make_codec, rounding_seed
from btard.pipeline.codecs.delta import DeltaCodec
from btard.pipeline.codecs.stateless import Fp16, Plain
from btard.pipeline.machine.plan import PipelinePlan, StepChoices
from btard.pipeline.step.lineup import Lineup
from btard.vocabulary import Precision

_RAW = SharedBoundary(Plain(), None)


class Channels:
    """The boundaries of one stage: where it sends, where it receives, and where the stage that it checks receives.

    A boundary is named by the stage that sends activations there.
    """

    def __init__(self, plan: PipelinePlan, number: int, stages: int, *, overflows: bool = False) -> None:
        """Open the boundaries.

        Args:
            overflows: whether gradients may, so that a stage says so in place of one.

        Raises:
            UserError: a codec does not fit, or its cache cannot be made.
        """
        self._plan, self._overflows = plan, overflows
        self._forward, self._backward = agreed_codecs(
            plan.forward_codec, plan.backward_codec, has_sample_ids=plan.samples is not None
        )
        first = number - 2 if plan.duplicates else number - 1
        here = [source for source in range(max(first, 0), number + 1) if source < stages - 1]
        self._boundaries = {source: self._open() for source in here}

    def begin(self, step: int) -> None:
        """Go on to a step."""
        self._step, self._ids = step, self._plan.ids(step)

    def write(
        self, lineup: Lineup, source: int, number: int, values: torch.Tensor, *, keep: bool
    ) -> tuple[bytes, bytes]:
        """Return what a stage sends forward, and the digest of what is kept of the samples before.

        Args:
            source: the stage that sends.
            number: of the micro-batch.
            values: float32, of the plan's shape.
            keep: whether it is sent, or only compared with what was.

        Raises:
            NotFinite: a value is an infinity or a NaN.
        """
        boundary, form, ids = self._at(lineup, source), self.form(lineup, source), self._ids[number]
        before = boundary.kept(ids, form)
        seeds = forward_seeds(self._plan.run, self._step, source, ids)
        return boundary.encode(ids, values, seeds, form, keep=keep), before

    def read(self, lineup: Lineup, source: int, number: int, data: bytes, kept: bytes) -> torch.Tensor | CachesDiffer:
        """Return what a stage computes with that is sent this by the stage `source`; raises Malformed."""
        boundary, form, ids = self._at(lineup, source), self.form(lineup, source), self._ids[number]
        if boundary.kept(ids, form) != kept:
            return CachesDiffer(tuple(ids))
        return boundary.decode(data, ids, self._plan.shape, form)

    def same(self, lineup: Lineup, source: int, number: int, own: bytes, told: bytes) -> bool:
        """Whether two messages forward count as the same computation; raises Malformed."""
        form, ids = self.form(lineup, source), self._ids[number]
        return self._at(lineup, source).same(own, told, ids, self._plan.shape, form, self._plan.comparison)

    def form(self, lineup: Lineup, source: int) -> SendForm:
        """Return how a stage sends forward."""
        if not lineup.keeps(source):
            return SendForm.PLAIN
        return SendForm.RAW if self._step < self._plan.raw_steps or source in lineup.raw else SendForm.CODED

    def samples(self, number: int) -> list[int]:
        """Return the samples of a micro-batch."""
        return list(self._ids[number])

    def crossing(self, lineup: Lineup, source: int, number: int) -> tuple[SendForm, dict[int, bytes]]:
        """Return how a stage sends a micro-batch forward, and what is kept of its samples if that matters."""
        form = self.form(lineup, source)
        return form, self._at(lineup, source).entries(self._ids[number]) if form is SendForm.CODED else {}

    def write_back(self, source: int, number: int, values: torch.Tensor) -> bytes:
        """Return the bytes of a gradient that a stage sends back; raises NotFinite."""
        seeds = backward_seeds(self._plan.run, self._step, source, self._ids[number])
        return encode_back(self._back, values, seeds, self._overflows)

    def read_back(self, data: bytes) -> torch.Tensor:
        """Return the gradient that was sent back; raises Malformed."""
        return decode_back(self._back, data, self._plan.shape, self._overflows)

    def same_back(self, own: bytes, told: bytes) -> bool:
        """Whether two gradients that were sent back count as the same computation; raises Malformed."""
        return stateless_same(self._back, own, told, self._plan.shape, self._plan.comparison)

    def largest(self) -> int:
        """Return the most bytes that a micro-batch takes in either direction."""
        return max(largest_message(self._forward, self._plan.shape), largest_message(self._backward, self._plan.shape))

    def commit(self) -> None:
        """Keep what this step has left at all boundaries."""
        for boundary in self._boundaries.values():
            boundary.commit()

    def roll_back(self) -> None:
        """Forget what this step has left at all boundaries."""
        for boundary in self._boundaries.values():
            boundary.roll_back()

    def forget(self, source: int) -> None:
        """Begin anew where a stage sends: one of those that keep something there is another peer now."""
        if source in self._boundaries:
            self._boundaries[source].close()
            self._boundaries[source] = self._open()

    def close(self) -> None:
        """Give memory and disk back."""
        for boundary in self._boundaries.values():
            boundary.close()

    def _open(self) -> SharedBoundary:
        plan = self._plan
        return SharedBoundary.open(self._forward, plan.shape[1:], plan.cache_directory, plan.cache_bytes)

    def _at(self, lineup: Lineup, source: int) -> SharedBoundary:
        # A boundary that is new because a stage is passed by has no past on either side.
        return self._boundaries[source] if lineup.keeps(source) else _RAW

    @property
    def _back(self) -> Codec:
        return Plain() if self._step < self._plan.raw_steps else self._backward


def agreed_codecs(forward: str, backward: str, *, has_sample_ids: bool) -> tuple[Codec | DeltaCodec, Codec]:
    """Return the codecs of activations and of gradients.

    Args:
        forward, backward: as `make_codec` reads them.
        has_sample_ids: whether a sample has a number by which it is known when it comes again.

    Raises:
        UserError: there is no such codec, or it wants what there is not.
    """
    ahead, back = make_codec(forward, "the forward codec"), make_codec(backward, "the backward codec")
    if not isinstance(back, Codec):
        raise UserError(
            f"the backward codec is {backward!r}, but gradients of a sample have no earlier visit to differ from; "
            "choose none, fp16 or fixpoint"
        )
    check_sample_ids(ahead, forward, "the forward codec", has_sample_ids=has_sample_ids)
    return ahead, back


def check_precision(precision: Precision, chosen: StepChoices) -> None:
    """Check that stages can compute in a precision as a step is chosen; all can in float32 and in bfloat16.

    Raises:
        UserError: gradients may overflow, and what is chosen hides it or lets two honest stages differ about it.
    """
    if precision is not Precision.FLOAT16:
        return
    told = f"--precision is {precision.value}, but "
    if isinstance(make_codec(chosen.backward_codec, "the backward codec"), Fp16):
        raise UserError(
            f"{told}--backward-codec {chosen.backward_codec} clips gradients that overflow; choose none or fixpoint"
        )
    if chosen.relative_error or chosen.code_share:
        raise UserError(
            f"{told}computations that may differ need not overflow alike; leave --relative-error and --code-share away"
        )


def encode_back(codec: Codec, values: torch.Tensor, seeds: Sequence[int], overflows: bool) -> bytes:
    """Return the bytes of a gradient; none of one that is not finite, where gradients may overflow.

    Raises:
        NotFinite: it is not finite, and none may overflow.
    """
    try:
        return codec.encode(values, seeds)
    except NotFinite:
        if overflows:
            return b""
        raise


def decode_back(codec: Codec, data: bytes, shape: Sequence[int], overflows: bool) -> torch.Tensor:
    """Return what `encode_back` was given; of one that has overflown nothing but that it is not finite.

    Raises:
        Malformed: it is none of this codec.
    """
    return torch.full(tuple(shape), torch.nan) if overflows and not data else codec.decode(data, shape)


def forward_seeds(run: bytes, step: int, source: int, samples: Sequence[int]) -> list[int]:
    """Return the seeds by which a stage rounds what it sends forward."""
    return [rounding_seed(run, step, f"{source} forward", sample) for sample in samples]


def backward_seeds(run: bytes, step: int, source: int, samples: Sequence[int]) -> list[int]:
    """Return the seeds by which a stage rounds what it sends back."""
    return [rounding_seed(run, step, f"{source} backward", sample) for sample in samples]
