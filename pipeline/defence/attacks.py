"""How stages lie in experiments: about activations on their way forward, and about gradients on their way back.

What a stage computes with stays honest; only its messages lie. At most one stage lies in an iteration, about all of its
micro-batches, and never the first or the last (Lu et al., ICML 2024, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch

from btard.pipeline.defence.behaviour import StageBehaviour, StagePlace
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
class StageAttack(StageBehaviour):
    """When stages lie, and how; all stages of an experiment share it.

    Attributes:
        rate: probability that a stage lies in an iteration.
        forward: what becomes of activations; None leaves them.
        backward: what becomes of gradients; None leaves them.
        seed: 32 bytes from which everything is drawn.
        fixed: the one stage that lies; None draws another one in each iteration, never the first or the last.
        each_attempt: whether another one is drawn when an iteration is repeated.
    """

    rate: float
    forward: MessageLie | None = None
    backward: MessageLie | None = None
    seed: bytes = bytes(32)
    fixed: int | None = None
    each_attempt: bool = False

    def liar(self, step: int, stages: int, attempt: int = 0) -> int | None:
        """Return the stage that lies in an attempt at a step, None where none does."""
        if stages <= 2:
            return None
        draws = SeededDraws(self.seed)
        label = f"{step} {attempt}" if attempt and self.each_attempt else f"{step}"
        if draws.uniform(f"lies {label}", 1)[0] >= self.rate:
            return None
        return 1 + int(draws.integers(f"liar {label}", 1, stages - 2)[0]) if self.fixed is None else self.fixed

    def activation(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        return self._said(self.forward, "forward", place, honest)

    def gradient(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        return self._said(self.backward, "backward", place, honest)

    def _said(self, lie: MessageLie | None, way: str, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        if lie is None or self.liar(place.step, place.stages, place.attempt) != place.stage:
            return honest
        return told(lie, honest, SeededDraws(self.seed).torch_seed(f"{way} {place.step} {place.micro_batch}"))


def told(lie: MessageLie, honest: torch.Tensor, seed: int) -> torch.Tensor:
    """Return what a lie makes of a tensor, float32 of its shape."""
    draw = torch.Generator().manual_seed(seed)
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
