"""One training of a tiny model in stages whose boundaries have codecs: the loss of each epoch, and all bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from btard.lab.reproductions.staged.origin import TrainedOrigin, text_task
from btard.lab.reproductions.staged.run import StagedRun
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.defence.attacks import HONEST
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.stages.split import Split
from btard.pipeline.trial import Trial, run_trial
from btard.tasks.base import Schedule


class BoundaryCodecs(BaseModel):
    """How tensors travel between stages.

    Attributes:
        forward, backward: codecs of activations and gradients, as `make_codec` reads them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    forward: str = "none"
    backward: str = "none"


class CodecRun(StagedRun):
    """A training.

    Attributes:
        origin: whose weights it goes on from.
        codecs: of all boundaries, after the warm-up.
        samples: in the training set, each visited once an epoch; steps fill an epoch without a rest.
        epochs: of which `warmup_epochs` at first send everything raw, as published.
        learning_rate: at its peak.
    """

    split: str = "2-2-2"
    origin: TrainedOrigin
    codecs: BoundaryCodecs
    samples: int
    epochs: int
    warmup_epochs: int = 1
    micro_batches: int = 4
    micro_batch_size: int = 4
    learning_rate: float

    @property
    def name(self) -> str:
        """See `StagedRun`."""
        codecs = f"{self.codecs.forward}-{self.codecs.backward}".replace(":", "_").replace("=", "").replace(",", "_")
        return f"{codecs}-seed_{self.seed}"

    @property
    def length(self) -> int:
        """See `StagedRun`."""
        return self.epochs * self._epoch_steps

    @property
    def _epoch_steps(self) -> int:
        return self.samples // (self.micro_batches * self.micro_batch_size)

    def shortened(self, steps: int) -> Self:
        """See `StagedRun`; the first of its epochs is raw, as everywhere."""
        samples = self.micro_batches * self.micro_batch_size
        brief = self.origin.model_copy(update={"steps": 1})
        return self.model_copy(update={"samples": samples, "epochs": self.warmup_epochs + steps, "origin": brief})

    def carry_out(self, home: Path) -> Mapping[str, Any]:
        """See `StagedRun`."""
        epoch_steps, steps = self._epoch_steps, self.length
        with TemporaryDirectory() as folder:
            trial = Trial(
                family="gpt2",
                split=Split.parse(self.split),
                optimizer=OptimizerPlan(OptimizerKind.ADAMW, Schedule(self.learning_rate, min(10, steps), 2 * steps)),
                steps=steps,
                micro_batches=self.micro_batches,
                micro_batch_size=self.micro_batch_size,
                order=PipelineOrder.ONE_FORWARD_ONE_BACKWARD,
                attack=HONEST,
                seed=self.seed,
                state=self.origin.weights(home),
                epoch_samples=self.samples,
                plan={
                    "checked": False,  # the question is what rounding does to learning
                    "forward_codec": self.codecs.forward,
                    "backward_codec": self.codecs.backward,
                    "raw_steps": self.warmup_epochs * epoch_steps,
                    "cache_directory": Path(folder),
                },
            )
            outcome = run_trial(trial, text_task(self.data))
        losses = [report.loss for report in outcome.reports if report.loss is not None]
        epochs = [losses[first : first + epoch_steps] for first in range(0, steps, epoch_steps)]
        return {
            "losses": [sum(epoch) / len(epoch) for epoch in epochs],
            "sent_bytes": sum(outcome.traffic.values()),
            "perplexity": outcome.after.perplexity,
        }
