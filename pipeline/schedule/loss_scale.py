"""By which power of two a float16 loss is multiplied before its backward pass, and how that follows from the steps.

As in `torch.amp.GradScaler`: a step whose gradients overflow is skipped and halves the scale, and many good steps in a
row double it. Powers of two, so that taking the scale out again rounds nothing but what is below float32's range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from btard.identity import Malformed
from btard.identity.codec import as_fields, as_int, decode, encode
from btard.pipeline.schedule.reduction import total_norm

FIRST_EXPONENT = 16
"""As in torch."""

GROWTH_STEPS = 2000
"""As in torch."""

MOST_EXPONENT = 64
"""The least is 0: what overflows without a scale, no scale helps."""

MAX_SCALE = 16
"""Bytes of an encoded scale."""

_MOST_STEPS = 1 << 32


@dataclass(frozen=True, slots=True)
class LossScale:
    """The scale before a step.

    Attributes:
        exponent: of two.
        good_steps: since it changed last.
    """

    exponent: int
    good_steps: int = 0

    @property
    def factor(self) -> float:
        """What a loss is multiplied by."""
        return 2.0**self.exponent

    def after(self, finite: bool, growth_steps: int) -> LossScale:
        """Return the scale after a step.

        Args:
            finite: whether all gradients of all stages were.
            growth_steps: good ones in a row after which it is doubled.
        """
        if not finite:
            return LossScale(max(self.exponent - 1, 0))
        if self.good_steps + 1 < growth_steps:
            return LossScale(self.exponent, self.good_steps + 1)
        return LossScale(min(self.exponent + 1, MOST_EXPONENT))

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.exponent, self.good_steps])

    @classmethod
    def decode(cls, data: bytes) -> LossScale:
        """Read bytes of a stranger; raises Malformed."""
        exponent, good = as_fields(decode(data, limit=MAX_SCALE), 2)
        return cls(as_int(exponent, 0, MOST_EXPONENT), as_int(good, 0, _MOST_STEPS))


def read_scale(data: bytes, *, scaled: bool) -> LossScale | None:
    """Return the scale in a state of a stage, None where losses are not scaled; raises Malformed."""
    if bool(data) != scaled:
        raise Malformed("a state with a loss scale where there is none, or without one")
    return LossScale.decode(data) if scaled else None


def all_finite(norms: Mapping[str, torch.Tensor]) -> bool:
    """Whether the gradients of all stages are finite, by their norms: the sum by which they are clipped says it, taken
    in the same order everywhere."""
    return bool(torch.isfinite(total_norm(norms)))
