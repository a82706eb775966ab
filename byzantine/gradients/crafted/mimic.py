"""All copy one honest worker, so that a rule listens to it alone (Karimireddy, He, Jaggi, arXiv 2006.09365)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from btard.byzantine.gradients.attack import GradientAttack, Knowledge

_UNDECIDED = -1


@dataclass
class Mimic(GradientAttack):
    """Copies the honest worker that is farthest out along the direction in which honest workers differ most.

    The direction z is learnt by Oja's iteration over the first steps (paper, section 4.2 and appendix B), in which
    attackers copy the first worker. Then the one with the largest |<z, x - mean>| is copied for good.

    Attributes:
        warmup: steps of learning; with 0 the first worker is copied always.
    """

    warmup: Annotated[int, Field(ge=0)] = 10

    def __post_init__(self) -> None:
        self._seen = 0
        self._chosen = _UNDECIDED if self.warmup else 0
        self._mean = torch.empty(0)
        self._direction = torch.empty(0)

    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        self.observe(knowledge)
        chosen = self._chosen if self._chosen != _UNDECIDED else 0
        return knowledge.known[chosen % len(knowledge.known)].clone()

    def observe(self, knowledge: Knowledge) -> None:
        """Take one more step of the iteration, and choose after the last."""
        if self._chosen != _UNDECIDED:
            return
        known = knowledge.known
        if self._seen == 0:
            self._mean = torch.zeros_like(known[0])
            drawn = torch.randn(known.shape[1], generator=knowledge.generator).to(known.device)
            self._direction = drawn / drawn.norm()
        self._seen += 1
        self._mean = self._mean + (known.mean(0) - self._mean) / self._seen
        apart = known - self._mean
        # One multiplication by the running sum of the outer products, which is never made.
        turned = apart.T @ (apart @ self._direction)
        share = 1 / self._seen
        mixed = (1 - share) * self._direction + share * turned / turned.norm().clamp_min(torch.finfo(turned.dtype).tiny)
        if mixed.norm() > 0:
            self._direction = mixed / mixed.norm()
        if self._seen == self.warmup:
            self._chosen = int((apart @ self._direction).abs().argmax())

    def state(self) -> Mapping[str, torch.Tensor]:
        counters = torch.tensor([self._seen, self._chosen])
        return {"counters": counters, "mean": self._mean.clone(), "direction": self._direction.clone()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        self._seen, self._chosen = (int(number) for number in state["counters"])
        self._mean, self._direction = state["mean"].clone(), state["direction"].clone()
