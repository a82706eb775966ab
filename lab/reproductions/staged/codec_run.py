"""One training of a tiny model in stages whose boundaries have codecs: the loss and the bytes of each epoch.

It has no messages, for its question is what rounding does to learning; but every tensor between two stages goes through
the bytes of its codec.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from btard.lab.reproductions.staged.origin import TrainedOrigin, text_task
from btard.lab.reproductions.staged.run import StagedRun
from btard.pipeline.caches import BoundaryReceiver, BoundarySender, CachesDiffer, open_receiver, open_sender
from btard.pipeline.codecs.registry import make_codec
from btard.pipeline.codecs.rounding import rounding_seed
from btard.pipeline.measures.scores import held_out_scores
from btard.pipeline.schedule.optimizer import OptimizerKind, OptimizerPlan
from btard.pipeline.schedule.together import finish_step
from btard.pipeline.schedule.worker import StageWorker
from btard.pipeline.stages.model_stage import ModelStage
from btard.pipeline.stages.split import Split
from btard.pipeline.trial import trial_cut
from btard.tasks.base import Batch, Schedule
from btard.tasks.randomness import SeededDraws

_RUN = bytes(32)
_CACHE_BYTES = 1 << 30


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
        samples: in the training set, each visited once an epoch.
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

    def carry_out(self, home: Path) -> Mapping[str, Any]:
        """See `StagedRun`."""
        with TemporaryDirectory() as folder:
            return _Training(self, home, Path(folder)).run()


class _Boundary:
    """Between two stages: activations one way, gradients the other."""

    def __init__(self, run: CodecRun, number: int, shape: tuple[int, int], folder: Path, stack: ExitStack) -> None:
        self.sent_bytes = 0
        self._name = f"boundary {number}"
        self._ends: list[tuple[BoundarySender, BoundaryReceiver]] = []
        for codec in map(make_codec, (run.codecs.forward, run.codecs.backward, "none")):
            sender = open_sender(codec, shape, folder, _CACHE_BYTES)
            receiver = open_receiver(codec, shape, folder, _CACHE_BYTES)
            stack.callback(sender.close)
            stack.callback(receiver.close)
            self._ends.append((sender, receiver))
        self._remembers = run.codecs.forward.startswith("delta")

    def activation(self, step: int, samples: Sequence[int], values: torch.Tensor, *, warm: bool) -> torch.Tensor:
        """Return what arrives of an activation; in the warm-up it comes raw, and is remembered all the same."""
        raw = samples if warm else ()
        return self._through(2 if warm and not self._remembers else 0, step, samples, values, raw)

    def gradient(self, step: int, samples: Sequence[int], values: torch.Tensor, *, warm: bool) -> torch.Tensor:
        """Return what arrives of a gradient."""
        return self._through(2 if warm else 1, step, samples, values, ())

    def commit(self) -> None:
        for sender, receiver in self._ends:
            sender.commit()
            receiver.commit()

    def _through(
        self, way: int, step: int, samples: Sequence[int], values: torch.Tensor, raw: Sequence[int]
    ) -> torch.Tensor:
        sender, receiver = self._ends[way]
        seeds = [rounding_seed(_RUN, step, f"{self._name} {way}", sample) for sample in samples]
        data = sender.encode(samples, values, seeds, raw)
        self.sent_bytes += len(data)
        arrived = receiver.decode(data, samples, values.shape)
        assert not isinstance(arrived, CachesDiffer)  # nothing is lost here
        return arrived


class _Training:
    def __init__(self, run: CodecRun, home: Path, folder: Path) -> None:
        self._run, self._folder = run, folder
        self._task = text_task(run.data)
        cut = trial_cut("gpt2", Split.parse(run.split), self._task)
        state = run.origin.weights(home)
        steps = run.epochs * (run.samples // (run.micro_batches * run.micro_batch_size))
        plan = OptimizerPlan(OptimizerKind.ADAMW, Schedule(run.learning_rate, 10, 2 * steps))
        self._workers = [StageWorker(ModelStage(cut, number, state), plan) for number in range(cut.stages)]
        self._shape = (self._task.corpus.meta.sample_tokens, int(cut.config.hidden_size))

    def run(self) -> dict[str, Any]:
        run, losses, sent, step = self._run, [], [], 0
        draws = SeededDraws(run.seed.to_bytes(32, "big"))
        known = self._task.corpus.training_samples
        chosen = np.argsort(draws.uniform("samples", known), kind="stable")[: run.samples]
        per_step = run.micro_batches * run.micro_batch_size
        with ExitStack() as stack:
            places = range(len(self._workers) - 1)
            boundaries = [_Boundary(run, place, self._shape, self._folder, stack) for place in places]
            for epoch in range(run.epochs):
                order = chosen[np.argsort(draws.uniform(f"epoch {epoch}", len(chosen)), kind="stable")]
                found, before = [], sum(boundary.sent_bytes for boundary in boundaries)
                for first in range(0, len(order) - per_step + 1, per_step):
                    warm = epoch < run.warmup_epochs
                    found.append(self._step(boundaries, step, order[first : first + per_step], warm))
                    step += 1
                losses.append(sum(found) / len(found))
                sent.append(sum(boundary.sent_bytes for boundary in boundaries) - before)
        after = held_out_scores([worker.stage for worker in self._workers], self._task.evaluation_batches())
        return {"losses": losses, "sent_bytes": sent, "perplexity": after.perplexity}

    def _step(self, boundaries: Sequence[_Boundary], step: int, chosen: np.ndarray, warm: bool) -> float:
        """Train one step, and return its mean loss."""
        parts = [[int(sample) for sample in part] for part in np.split(chosen, self._run.micro_batches)]
        batches: list[Batch] = [self._task.numbered(np.array(part, dtype=np.int64)) for part in parts]
        loss = 0.0
        for number, (part, batch) in enumerate(zip(parts, batches, strict=True)):
            hidden = None
            for worker, boundary in zip(self._workers, [*boundaries, None], strict=True):
                output = worker.forward(number, batch, hidden)
                if boundary is None:
                    loss += float(output) / len(parts)
                else:
                    hidden = boundary.activation(step, part, output, warm=warm)
        for number, part in enumerate(parts):
            gradient: torch.Tensor | None = torch.tensor(1.0 / len(parts))
            for worker, boundary in zip(self._workers[::-1], [*boundaries[::-1], None], strict=True):
                assert gradient is not None
                gradient = worker.backward(number, gradient)
                if boundary is not None and gradient is not None:
                    gradient = boundary.gradient(step, part, gradient, warm=warm)
        finish_step(self._workers)
        for boundary in boundaries:
            boundary.commit()
        return loss
