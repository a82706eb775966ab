"""How stages lie in experiments: about activations on their way forward, and about gradients on their way back.

What a stage computes with stays honest; only its messages lie. At most one stage lies in an iteration, about all of its
micro-batches, and never the first or the last (Lu et al., ICML 2024, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch

from btard.tasks.randomness import SeededDraws


class MessageLie(StrEnum):
    """What becomes of a tensor a of standard deviation s."""

    REVERSE = "reverse"
    """-a."""
    RANDOM = "random"
    """Uniform in [0, 1)."""
    NOISE = "noise"
    """Gaussian, with mean 0 and standard deviation 1, in place of a; the paper's attack on gradients."""
    DRIFT = "drift"
    """a + 0.05 s everywhere: small, but always to one side."""


DRIFT_SHARE = 0.05
"""Of a tensor's standard deviation, by which a drift moves it."""


@dataclass(frozen=True)
class StageAttack:
    """When stages lie, and how; all stages of an experiment share it.

    Attributes:
        rate: probability that a stage lies in an iteration.
        forward: what becomes of activations; None leaves them.
        backward: what becomes of gradients; None leaves them.
        seed: 32 bytes from which everything is drawn.
    """

    rate: float
    forward: MessageLie | None = None
    backward: MessageLie | None = None
    seed: bytes = bytes(32)

    def liar(self, step: int, stages: int) -> int | None:
        """Return the stage that lies in a step, None where none does."""
        if stages <= 2:
            return None
        draws = SeededDraws(self.seed)
        lies = draws.uniform(f"lies {step}", 1)[0] < self.rate
        return 1 + int(draws.integers(f"liar {step}", 1, stages - 2)[0]) if lies else None

    def activation(self, step: int, stages: int, stage: int, micro_batch: int, honest: torch.Tensor) -> torch.Tensor:
        """Return what a stage sends forward in place of an activation, float32 of its shape."""
        return self._said(self.forward, f"forward {step} {micro_batch}", step, stages, stage, honest)

    def gradient(self, step: int, stages: int, stage: int, micro_batch: int, honest: torch.Tensor) -> torch.Tensor:
        """Return what a stage sends back in place of a gradient, float32 of its shape."""
        return self._said(self.backward, f"backward {step} {micro_batch}", step, stages, stage, honest)

    def _said(
        self, lie: MessageLie | None, label: str, step: int, stages: int, stage: int, honest: torch.Tensor
    ) -> torch.Tensor:
        if lie is None or self.liar(step, stages) != stage:
            return honest
        draw = torch.Generator().manual_seed(SeededDraws(self.seed).torch_seed(label))
        match lie:
            case MessageLie.REVERSE:
                return -honest
            case MessageLie.RANDOM:
                return torch.rand(honest.shape, generator=draw)
            case MessageLie.NOISE:
                return torch.randn(honest.shape, generator=draw)
            case MessageLie.DRIFT:
                return honest + DRIFT_SHARE * honest.std()


HONEST = StageAttack(0.0)
"""No stage ever lies."""
