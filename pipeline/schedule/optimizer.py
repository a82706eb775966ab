"""One optimizer for each stage, which all follow one schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from btard.pipeline.choices import OptimizerKind
from btard.pipeline.schedule.loss_scale import FIRST_EXPONENT, GROWTH_STEPS
from btard.tasks.base import Schedule, decay_groups
from btard.vocabulary import Precision


@dataclass(frozen=True, slots=True)
class OptimizerPlan:
    """What all stages' optimizers have in common.

    Attributes:
        kind: which optimizer.
        schedule: its learning rate over the steps.
        weight_decay: of AdamW, for all weights of more than one dimension.
        max_grad_norm: the L2 norm over all stages to which gradients are clipped; None leaves them.
        precision: of forward and backward passes; in float16 losses are scaled.
        first_exponent: of two, the loss scale of the first step.
        growth_steps: good ones in a row after which the loss scale is doubled.
    """

    kind: OptimizerKind
    schedule: Schedule
    weight_decay: float = 0.01
    max_grad_norm: float | None = 1.0
    precision: Precision = Precision.FLOAT32
    first_exponent: int = FIRST_EXPONENT
    growth_steps: int = GROWTH_STEPS

    @property
    def scaled(self) -> bool:
        """Whether losses are scaled, so that gradients may overflow."""
        return self.precision is Precision.FLOAT16

    def build(self, weights: Mapping[str, nn.Parameter]) -> Optimizer:
        """Return the optimizer of these weights, which works on each weight alone."""
        rate = self.schedule.learning_rate
        match self.kind:
            case OptimizerKind.ADAMW:
                groups = decay_groups(weights.items(), self.weight_decay)
                return AdamW(groups, lr=rate, betas=(0.9, 0.999), eps=1e-8, foreach=False)
            case OptimizerKind.ADAM:
                return Adam(weights.values(), lr=rate, betas=(0.9, 0.999), eps=1e-8, foreach=False)
            case OptimizerKind.SGD:
                return SGD(weights.values(), lr=rate, foreach=False)
