"""The laboratory's own checkpoint: a tiny model that has learnt the corpus, from which runs go on."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save

from btard.durable import write_durably
from btard.lab.reproductions.staged.run import DECIDES, StagedResult
from btard.lab.study.results import told_counts
from btard.lab.sweep.versions import run_key
from btard.lab.training.workers.problem import told_data
from btard.pipeline.choices import OptimizerKind
from btard.pipeline.epochs import SampleOrder
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.schedule.together import StagesTogether
from btard.pipeline.schedule.worker import StageWorker
from btard.pipeline.stages.model_stage import Cut, ModelStage
from btard.pipeline.stages.split import Split
from btard.pipeline.stages.weights import draw_weights
from btard.pipeline.trial import trial_cut
from btard.tasks.base import Schedule
from btard.tasks.data.known import corpus_of
from btard.tasks.registry import load_task
from btard.tasks.text import TextTask

_MICRO_BATCHES, _MICRO_BATCH_SIZE = 4, 8


class TrainedOrigin(BaseModel):
    """A training from drawn weights, without any lie.

    Attributes:
        family, split: of the model.
        steps: of 4 micro-batches of 8 samples.
        seed: of weights and batches; none of the seeds of runs, which then see other batches.
        learning_rate: at its peak.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str = "gpt2"
    split: str = "1-1-1-1-1-1"
    steps: int
    seed: int = 1000
    learning_rate: float = 5e-3
    data: str = "builtin"

    def weights(self, home: Path) -> dict[str, torch.Tensor]:
        """Return all weights, float32 by name; trained now, unless a folder has them from before."""
        path = home / "origins" / f"{self.family}-{run_key(self.model_dump_json(), DECIDES)}.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, save(self._trained()))
        return load_file(path)

    def _trained(self) -> dict[str, torch.Tensor]:
        task = text_task(self.data)
        cut = trial_cut(self.family, Split.parse(self.split), task)
        together = StagesTogether(workers_of(cut, self), PipelineOrder.GPIPE)
        batches = SampleOrder(self.seed, _MICRO_BATCHES, _MICRO_BATCH_SIZE).of(task)
        for step in range(self.steps):
            together.step(batches(step))
        return {
            name: weight.detach().contiguous()
            for worker in together.workers
            for name, weight in worker.stage.part.state_dict().items()
        }


def workers_of(cut: Cut, origin: TrainedOrigin) -> list[StageWorker]:
    """Return the stages of a new model, with an optimizer that follows the origin's schedule."""
    schedule = Schedule(origin.learning_rate, min(20, origin.steps), origin.steps + 50)
    state, plan = draw_weights(cut.config, origin.seed), OptimizerPlan(OptimizerKind.ADAMW, schedule)
    return [StageWorker(ModelStage(cut, number, state), plan) for number in range(cut.stages)]


def text_task(data: str) -> TextTask:
    """Return the tiny text task on a corpus.

    Raises:
        UserError: the corpus cannot be had.
    """
    task = load_task("gpt", "tiny", corpus_of(data))
    assert isinstance(task, TextTask)
    return task


def data_of(results: Iterable[StagedResult]) -> str:
    """Return which corpora runs were trained and measured on, each once, and how many runs there are.

    Raises:
        UserError: a corpus is not on this machine any more.
    """

    @cache
    def told(data: str) -> str:
        return told_data(text_task(data), data)

    return told_counts(told(result.run.data) for result in results)
