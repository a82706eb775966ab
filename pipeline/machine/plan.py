"""What all stages of a pipeline agree on, and what a stage wants done outside."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from btard.identity import PeerId
from btard.pipeline.choices import AfterAlarm, CheckMode
from btard.pipeline.defence.comparison import EXACT, ComputationCheck
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
        loss: the mean over its micro-batches; None but at the last stage, and where the step was given up.
        alarm: the stage that raised the first alarm acted upon; None if there was none.
        stepped: whether the weights may have changed.
        accused: the stages accused, an alarm each.
        attempts: how often the step was begun.
        audits: stages whose step was computed again by another one.
        passed_by: whether the step went on without this stage.
    """

    step: int
    loss: float | None
    alarm: int | None
    stepped: bool
    accused: tuple[int, ...] = ()
    attempts: int = 1
    audits: tuple[int, ...] = ()
    passed_by: bool = False


@dataclass(frozen=True, slots=True)
class StageStalled:
    """What a stage waits for has not come in time; it does nothing more."""

    step: int
    waiting: str


@dataclass(frozen=True, slots=True)
class StageBanned:
    """A stage has lied, and its peer is out: the outside finds another one for the seat.

    Attributes:
        step: in which it has lied.
        stage: its seat.
        peer: the liar.
        evidence: the bytes of a file that proves it.
    """

    step: int
    stage: int
    peer: PeerId
    evidence: bytes


@dataclass(frozen=True, slots=True)
class TellReplicas:
    """Send bytes about rows to the peers of stages of other pipelines."""

    peers: tuple[PeerId, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class AwaitAverage:
    """The passes of a step are done, and the stage's gradient is to be averaged with those of its replicas.

    Attributes:
        step: its number.
        gradient: the sum over the pipeline's own micro-batches, float32 of shape (d,).
        record: what it was computed from, as `ReplicaRecord` encodes it.
    """

    step: int
    gradient: torch.Tensor
    record: bytes


StageEffect = SendStage | StageReport | StageStalled | StageBanned | TellReplicas | AwaitAverage


class StepChoices(Protocol):
    """How a step goes, as settings and manifests say it; the attributes are those of `PipelinePlan`, but for `check`,
    which is live, drawn or none."""

    @property
    def check(self) -> str: ...
    @property
    def trusted_relay(self) -> bool: ...
    @property
    def share(self) -> float: ...
    @property
    def relative_error(self) -> float: ...
    @property
    def code_share(self) -> float: ...
    @property
    def after_alarm(self) -> str: ...
    @property
    def ban(self) -> bool: ...
    @property
    def forward_codec(self) -> str: ...
    @property
    def backward_codec(self) -> str: ...
    @property
    def raw_steps(self) -> int: ...


def step_options(chosen: StepChoices) -> dict[str, Any]:
    """Return what follows for a `PipelinePlan`, by the names of its attributes."""
    return {
        "checked": chosen.check != "none",
        "mode": CheckMode.DRAWN if chosen.check == "drawn" else CheckMode.LIVE,
        "trusted_relay": chosen.trusted_relay,
        "share": chosen.share,
        "comparison": ComputationCheck(chosen.relative_error, chosen.code_share),
        "after_alarm": AfterAlarm(chosen.after_alarm),
        "ban": chosen.ban,
        "forward_codec": chosen.forward_codec,
        "backward_codec": chosen.backward_codec,
        "raw_steps": chosen.raw_steps,
    }


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
        checked: whether stages check each other.
        trusted_relay: whether all activations come over a relay that all trust.
        step_seconds: until a step that is not over has stalled.
        mode: how they check.
        share: probability that a stage's step is computed again: of the ends in `LIVE`, of all in `DRAWN`.
        comparison: when two computations are the same.
        after_alarm: how a step goes on after an alarm.
        ban: whether liars lose their seats.
        forward_codec: of activations, as `make_codec` reads it.
        backward_codec: of gradients; one that remembers nothing.
        raw_steps: of the first steps, in which nothing is compressed.
        samples: ids of the samples of each micro-batch of a step; None where none comes again.
        cache_directory: for what delta codecs keep.
        cache_bytes: of one boundary at one stage.
        retry_seconds: after which a stage asks again for what has not come.
        first_states: digest of each stage's state before the first step; empty where they are not known.
        recorded: whether a stage can show how its micro-batches have crossed boundaries; where stages check each other
            it always can.
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
    mode: CheckMode = CheckMode.LIVE
    share: float = 0.01
    comparison: ComputationCheck = EXACT
    after_alarm: AfterAlarm = AfterAlarm.SKIP
    ban: bool = True
    forward_codec: str = "none"
    backward_codec: str = "none"
    raw_steps: int = 0
    samples: Callable[[int], Sequence[Sequence[int]]] | None = None
    cache_directory: Path = Path(tempfile.gettempdir())
    cache_bytes: int = 1 << 30
    retry_seconds: float = 30.0
    first_states: tuple[bytes, ...] = ()
    recorded: bool = False

    @property
    def duplicates(self) -> bool:
        """Whether stages from the third on hold a duplicate of the one before."""
        return self.checked and self.mode is CheckMode.LIVE

    def ids(self, step: int) -> list[list[int]]:
        """Return the samples of each micro-batch; numbers that never come again where they have no ids."""
        if self.samples is not None:
            return [list(samples) for samples in self.samples(step)]
        each, first = self.shape[0], step * self.micro_batches * self.shape[0]
        return [[first + number * each + place for place in range(each)] for number in range(self.micro_batches)]
