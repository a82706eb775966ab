"""What a driver answers to the actions of a step that take time."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from btard.identity import PeerId
from btard.round.attempt.pledges import NO_PLEDGES, Pledges
from btard.round.messages.accusations import Opinion
from btard.round.work.examination import Finding, Recomputed
from btard.round.work.rows import Aggregated, Inspected, Measured
from btard.round.work.seals import Sketch


@dataclass(frozen=True)
class _OfStep:
    step: int

    def belongs(self, step: int, attempt: int) -> bool:
        """Whether what was asked for belongs to this step, whatever the attempt."""
        return self.step == step


@dataclass(frozen=True)
class _OfAttempt:
    attempt: int

    def belongs(self, step: int, attempt: int) -> bool:
        """Whether what was asked for belongs to this attempt; drivers drop what was asked for in another step."""
        return self.attempt == attempt


@dataclass(frozen=True)
class GradientComputed(_OfStep):
    """To `ComputeGradient`.

    Attributes:
        vector: what this peer submits in the step, float32 of shape (d,), not to be changed before the step ends.
        momentum: digest of the momentum that it is built on; empty where the run uses none.
    """

    vector: torch.Tensor = field(repr=False, compare=False)
    momentum: bytes = b""


@dataclass(frozen=True)
class PartsEncoded(_OfAttempt):
    """To `EncodeParts`: the wire bytes of the parts, and their hashes."""

    parts: tuple[memoryview, ...]
    digests: tuple[bytes, ...]


@dataclass(frozen=True)
class RowsAggregated(_OfAttempt):
    """To `AggregateRows`."""

    result: Aggregated


@dataclass(frozen=True)
class RowsMeasured(_OfAttempt):
    """To `MeasureRows`."""

    result: Measured


@dataclass(frozen=True)
class RowInspected(_OfAttempt):
    """To `InspectRow`: the row of `author` in a part."""

    author: PeerId
    part: int
    result: Inspected


@dataclass(frozen=True)
class AggregateCompared(_OfAttempt):
    """To `AggregateAgain`: how many times its tolerance the aggregate of a part is off."""

    part: int
    excess: float


@dataclass(frozen=True)
class TargetExamined(_OfStep):
    """To `Examine`, asked for in `step`; `recomputed` is None where nothing could be, `pledges` are all that this peer
    has heard of."""

    target: PeerId
    finding: Finding
    recomputed: Recomputed | None = field(default=None, repr=False, compare=False)
    pledges: Pledges = field(default=NO_PLEDGES, repr=False, compare=False)


@dataclass(frozen=True)
class Recalled(_OfStep):
    """To `Recall`: whether the target withholds what the accuser says."""

    accuser: PeerId
    target: PeerId
    opinion: Opinion


@dataclass(frozen=True)
class VectorSketched(_OfStep):
    """To `SketchVector`."""

    sketch: Sketch


@dataclass(frozen=True)
class OpeningChecked(_OfStep):
    """To `CheckOpening`: what a judge finds about a validator."""

    validator: PeerId
    opinion: Opinion


Answer = (
    GradientComputed
    | PartsEncoded
    | RowsAggregated
    | RowsMeasured
    | RowInspected
    | AggregateCompared
    | TargetExamined
    | Recalled
    | VectorSketched
    | OpeningChecked
)
