"""What was honest many steps ago."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from btard.byzantine.gradients.attack import GradientAttack, Knowledge

_STEPS, _PAST = "steps", "past"


@dataclass
class Delayed(GradientAttack):
    """The honest mean of `delay` steps ago (Gorbunov et al., arXiv 2106.11257, section 4.1).

    The past is learnt from step 0 on, attacked or not. Where it does not reach that far back, the oldest mean that
    there is takes its place; in the first step, that step's own. It takes 4 bytes times dimension times `delay`.

    Attributes:
        delay: in steps; published: 1000.
    """

    delay: Annotated[int, Field(ge=1)] = 1000

    def __post_init__(self) -> None:
        self._past: dict[int, torch.Tensor] = {}

    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        self.observe(knowledge)
        return self._past[min(self._past)].clone()

    def observe(self, knowledge: Knowledge) -> None:
        """Keep this step's mean, and forget what is older than `delay` steps."""
        self._past[knowledge.step] = knowledge.known.mean(0)
        for step in [step for step in self._past if step < knowledge.step - self.delay]:
            del self._past[step]

    def state(self) -> Mapping[str, torch.Tensor]:
        if not self._past:
            return {}
        return {_STEPS: torch.tensor(list(self._past)), _PAST: torch.stack(list(self._past.values()))}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        steps = state[_STEPS].tolist() if _STEPS in state else []
        self._past = {step: state[_PAST][row].clone() for row, step in enumerate(steps)}
