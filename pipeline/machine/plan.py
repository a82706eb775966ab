"""What all stages of a pipeline agree on, and what a stage wants done outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from btard.identity import PeerId
from btard.pipeline.schedule.order import PipelineOrder
from btard.tasks.base import Batch


@dataclass(frozen=True, slots=True)
class SendStage:
    """Send bytes to the peers of some stages."""

    stages: tuple[int, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class StageReport:
    """A step is over.

    Attributes:
        step: its number.
        loss: the mean over its micro-batches; None but at the last stage.
        alarm: the stage that raised the alarm acted upon; None if there was none.
        stepped: whether the weights may have changed.
    """

    step: int
    loss: float | None
    alarm: int | None
    stepped: bool


@dataclass(frozen=True, slots=True)
class StageStalled:
    """What a stage waits for has not come in time; it does nothing more."""

    step: int
    waiting: str


StageEffect = SendStage | StageReport | StageStalled


@dataclass(frozen=True)
class PipelinePlan:
    """What all stages of a pipeline agree on.

    Attributes:
        run: its name.
        roster: the peer of each stage.
        order: how passes alternate.
        shape: of an activation of one micro-batch.
        micro_batches: of a step.
        batches: the micro-batches of a step, which follow from a public seed.
        checked: whether activations are compared with those of duplicates.
        trusted_relay: whether all activations come over a relay that all trust.
        step_seconds: until a step that is not over has stalled.
    """

    run: bytes
    roster: tuple[PeerId, ...]
    order: PipelineOrder
    shape: tuple[int, int, int]
    micro_batches: int
    batches: Callable[[int], Sequence[Batch]]
    checked: bool = True
    trusted_relay: bool = False
    step_seconds: float = 600.0
