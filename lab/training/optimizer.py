"""Optimizers with moments of their own that move the model by what a rule has made of all vectors."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch

from btard.lab.training.choices import ServerOptimizer
from btard.lab.training.workers.problem import Problem


class MomentOptimizer:
    """Adam (Kingma, Ba, arXiv 1412.6980) as torch has it, or LAMB (You et al., arXiv 1904.00962) as the ALBERT
    experiments use it, on a problem's weights."""

    def __init__(self, problem: Problem, kind: ServerOptimizer) -> None:
        """Args: `kind` is ADAM or LAMB."""
        self._places = problem.places
        self._weights = list(problem.loss.parameters())
        self._optimizer: torch.optim.Optimizer
        if kind is ServerOptimizer.LAMB:
            from btard.tasks.lamb import build_lamb

            self._optimizer = build_lamb(problem.loss, 1.0)
        else:
            self._optimizer = torch.optim.Adam(self._weights, lr=1.0)

    @torch.no_grad()
    def step(self, direction: torch.Tensor, rate: float) -> None:
        """Take (d,) `direction` for the gradient, and move the weights in place."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        for place, weight in zip(self._places, self._weights, strict=True):
            weight.grad = direction[place.columns].view(place.shape)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs; it shares memory with this one."""
        return self._optimizer.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a copy of what `state` has returned."""
        self._optimizer.load_state_dict(deepcopy(state))
