"""What moves the model by what a rule has made of all vectors: optimizers with moments, and moves that peers share."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch

from btard.hashing import digest
from btard.lab.training.choices import ServerOptimizer
from btard.lab.training.settings import ExperimentSettings
from btard.lab.training.workers.problem import Problem
from btard.tensors import bytes_of

_STEPS_HELD = 4
"""Steps whose moves are remembered: peers are a step apart at most."""


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


def optimizer_of(problem: Problem, settings: ExperimentSettings) -> MomentOptimizer | None:
    """Return the optimizer that the settings name, None for the published step."""
    return None if settings.optimizer is ServerOptimizer.SGD else MomentOptimizer(problem, settings.optimizer)


class SharedMoves:
    """The steps of a model that many peers hold, each computed once: a `Move`.

    Moments follow from the parameters and aggregates of all steps, so peers that hold the same parameters before a step
    hold the same moments, and one that takes over parameters takes these over, too.
    """

    def __init__(self, problem: Problem, settings: ExperimentSettings) -> None:
        """The problem's weights are where moves are computed; they are left anywhere."""
        self._problem = problem
        self._rate, self._decay = settings.rate, settings.weight_decay
        self._optimizer = optimizer_of(problem, settings)
        self._moments: dict[tuple[int, bytes], dict[str, Any]] = {}
        self._made: dict[tuple[int, bytes, bytes], torch.Tensor] = {}
        if self._optimizer is not None:
            self._moments[0, digest(bytes_of(problem.parameters))] = self._optimizer.state()

    def __call__(self, parameters: torch.Tensor, aggregate: torch.Tensor, step: int | None) -> torch.Tensor:
        """Return x^{t+1}, (d,) float32 on the CPU; the arguments stay as they are."""
        assert step is not None
        before = digest(bytes_of(parameters))
        key = (step, before, digest(bytes_of(aggregate)))
        if key not in self._made:
            self._forget(step - _STEPS_HELD)
            direction = torch.add(aggregate, parameters, alpha=self._decay) if self._decay else aggregate
            self._made[key] = self._moved(parameters, direction, step, before)
        return self._made[key]

    def _moved(self, parameters: torch.Tensor, direction: torch.Tensor, step: int, before: bytes) -> torch.Tensor:
        if self._optimizer is None:
            return parameters - self._rate(step) * direction
        weights = self._problem.parameters
        weights.copy_(parameters)
        self._optimizer.restore(self._moments[step, before])
        self._optimizer.step(direction.to(weights.device), self._rate(step))
        found = weights.to("cpu", copy=True)
        self._moments[step + 1, digest(bytes_of(found))] = self._optimizer.state()
        return found

    def _forget(self, step: int) -> None:
        self._made = {key: made for key, made in self._made.items() if key[0] > step}
        self._moments = {key: moments for key, moments in self._moments.items() if key[0] > step}

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs; it shares memory with this one."""
        return {"moments": dict(self._moments), "made": dict(self._made)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` has returned."""
        self._moments, self._made = dict(state["moments"]), dict(state["made"])
