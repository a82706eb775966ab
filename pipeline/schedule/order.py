"""The order of a stage's work in one step: GPipe and one-forward-one-backward.

Both go backward through micro-batches in ascending order, and so sum their gradients in that order: the result of a
step does not depend on the schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """Compute the output of a micro-batch, numbered from 0 through the whole step."""

    micro_batch: int


@dataclass(frozen=True, slots=True)
class BackwardPass:
    """Compute the gradients of a micro-batch, and add them to those of the ones before."""

    micro_batch: int


@dataclass(frozen=True, slots=True)
class OptimizerStep:
    """Change the weights."""


StageAction = ForwardPass | BackwardPass | OptimizerStep


class PipelineOrder(StrEnum):
    """How forward and backward passes alternate."""

    GPIPE = "gpipe"
    ONE_FORWARD_ONE_BACKWARD = "1f1b"

    def actions(self, stages: int, stage: int, micro_batches: int, accumulate: int = 1) -> tuple[StageAction, ...]:
        """Return what a stage does in one step.

        Args:
            stages: how many there are.
            stage: the number of this one, from 0.
            micro_batches: that go through the pipeline before it is empty again.
            accumulate: how often the pipeline fills before the optimizer's step.
        """
        if not 0 <= stage < stages or micro_batches < 1 or accumulate < 1:
            raise ValueError(f"no stage {stage} of {stages} runs {micro_batches} micro-batches {accumulate} times")
        plan: list[StageAction] = []
        # GPipe is 1F1B with a warm-up as long as the batch.
        warmup = micro_batches if self is PipelineOrder.GPIPE else min(stages - stage, micro_batches)
        for start in range(0, accumulate * micro_batches, micro_batches):
            plan += [ForwardPass(start + number) for number in range(warmup)]
            for number in range(micro_batches):
                plan.append(BackwardPass(start + number))
                if number + warmup < micro_batches:
                    plan.append(ForwardPass(start + number + warmup))
        return (*plan, OptimizerStep())


def most_kept(actions: tuple[StageAction, ...]) -> int:
    """Return how many micro-batches a stage holds at once that it has not gone back through."""
    held = most = 0
    for action in actions:
        held += isinstance(action, ForwardPass) - isinstance(action, BackwardPass)
        most = max(most, held)
    return most
