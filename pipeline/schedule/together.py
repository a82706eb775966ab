"""All stages of a pipeline in one process, without messages: each acts as soon as it has what it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from btard.pipeline.schedule.order import BackwardPass, ForwardPass, OptimizerStep, PipelineOrder, StageAction
from btard.pipeline.schedule.worker import StageWorker
from btard.tasks.base import Batch


@dataclass
class StagesTogether:
    """A pipeline's stages, first stage first.

    Attributes:
        workers: of one cut.
        order: how passes alternate.
        accumulate: how often the pipeline fills in a step.
    """

    workers: Sequence[StageWorker]
    order: PipelineOrder
    accumulate: int = 1
    _losses: dict[int, float] = field(default_factory=dict, init=False)

    def step(self, micro_batches: Sequence[Batch]) -> float:
        """Train one step on micro-batches of equal weight, and return their mean loss.

        Raises:
            ValueError: they cannot be shared among the fillings of the pipeline.
        """
        count, rest = divmod(len(micro_batches), self.accumulate)
        if rest or not count:
            raise ValueError(f"{len(micro_batches)} micro-batches cannot fill a pipeline {self.accumulate} times")
        stages = len(self.workers)
        todo = [list(self.order.actions(stages, stage, count, self.accumulate)) for stage in range(stages)]
        arrived: dict[tuple[int, StageAction], torch.Tensor | None] = {}
        share = torch.tensor(1.0 / len(micro_batches))
        for number in range(len(micro_batches)):
            arrived[0, ForwardPass(number)] = None
            arrived[stages - 1, BackwardPass(number)] = share
        while not all(isinstance(actions[0], OptimizerStep) for actions in todo):
            ready = [stage for stage in range(stages) if (stage, todo[stage][0]) in arrived]
            if not ready:
                raise RuntimeError("the stages wait for each other")
            for stage in ready:
                self._act(stage, todo[stage].pop(0), arrived, micro_batches)
        finish_step(self.workers)
        return sum(self._losses.values()) / len(self._losses)

    def _act(
        self,
        stage: int,
        action: StageAction,
        arrived: dict[tuple[int, StageAction], torch.Tensor | None],
        micro_batches: Sequence[Batch],
    ) -> None:
        given = arrived.pop((stage, action))
        match action:
            case ForwardPass(number):
                output = self.workers[stage].forward(number, micro_batches[number], given)
                if stage + 1 < len(self.workers):
                    arrived[stage + 1, action] = output
                else:
                    self._losses[number] = float(output)
            case BackwardPass(number):
                assert given is not None
                gradient = self.workers[stage].backward(number, given)
                if stage > 0:
                    arrived[stage - 1, action] = gradient


def finish_step(workers: Sequence[StageWorker]) -> None:
    """Add up tied gradients, clip by the norm of all, and change the weights of all stages."""
    copies = {
        (worker.stage.number, name): gradient
        for worker in workers
        for name, gradient in worker.tied_gradients().items()
    }
    for worker in workers:
        worker.set_tied(copies)
    norms = {name: norm for worker in workers for name, norm in worker.norms().items()}
    for worker in workers:
        worker.step(norms)
