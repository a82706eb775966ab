"""Gradients of many workers, one after the other or many in one go; which is faster depends on the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch.func import functional_call, grad_and_value, vmap

from btard.lab.training.workers.problem import Problem
from btard.lab.training.workers.replay import Function, Repeated
from btard.lab.training.workers.samplers import Tensors
from btard.tasks.randomness import seed_torch

_MOST_BYTES = 256 << 20
"""Of the gradients that are computed in one go."""


@dataclass(frozen=True)
class Gradients:
    """Gradients of `k` workers in pieces, as backward passes leave them.

    Attributes:
        pieces: (columns of the flat vector, (k, width) float32); owned by the caller. Together they cover all columns.
        losses: (k,) float32.
    """

    pieces: list[tuple[slice, torch.Tensor]]
    losses: torch.Tensor

    def plus(self, other: Gradients) -> Gradients:
        """Return the sums of gradients and losses; this one's memory is used."""
        for (_, sums), (_, values) in zip(self.pieces, other.pieces, strict=True):
            sums.add_(values)
        return Gradients(self.pieces, self.losses + other.losses)


def penalised(found: Gradients, at: torch.Tensor, l1: float, l2: float) -> Gradients:
    """Add the gradients of l1 ||x||_1 + l2 ||x||_2 in place, and these penalties to the losses.

    Args:
        at: where the gradients were taken, (d,) for all or (k, d).
    """
    if not l1 and not l2:
        return found
    norm = torch.linalg.vector_norm(at, dim=-1, keepdim=True)
    slope = torch.where(norm > 0, l2 / norm, torch.zeros_like(norm))
    for columns, values in found.pieces:
        if l1:
            values.add_(at[..., columns].sign(), alpha=l1)
        if l2:
            values.addcmul_(at[..., columns], slope)
    penalty = l2 * norm.squeeze(-1) + (l1 * at.abs().sum(-1) if l1 else 0.0)
    return Gradients(found.pieces, found.losses + penalty)


def clipped(found: Gradients, most: float | None) -> Gradients:
    """Scale gradients whose norm is above `most` to it, in place; None for no limit."""
    if most is None:
        return found
    squares = sum(torch.linalg.vector_norm(values, dim=1).square() for _, values in found.pieces)
    assert isinstance(squares, torch.Tensor)
    factors = most / squares.sqrt().clamp(min=most)
    if bool((factors < 1).any()):
        for _, values in found.pieces:
            values.mul_(factors[:, None])
    return found


class Backward(ABC):
    """A way to compute gradients.

    Attributes:
        at_once: how many workers one call should be asked for.
    """

    at_once: int

    @abstractmethod
    def gradients(self, points: torch.Tensor | None, tensors: Tensors, seeds: list[int]) -> Gradients:
        """Return the gradients of k workers.

        Args:
            points: (d,) where all take them, (k, d) where each does; None for the parameters as they are.
            tensors: (k, samples, ...) by name, on the model's device.
            seeds: of torch's generator, for each worker; the generator is left anywhere.
        """


class OneByOne(Backward):
    """A backward pass for each worker."""

    at_once = 1

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._weights = list(problem.loss.parameters())

    def gradients(self, points: torch.Tensor | None, tensors: Tensors, seeds: list[int]) -> Gradients:
        """Return the gradients of k workers; see `Backward`."""
        problem = self._problem
        before = None if points is None else problem.parameters.clone()
        found, losses = [], []
        for index, seed in enumerate(seeds):
            if points is not None:
                problem.parameters.copy_(points if points.dim() == 1 else points[index])
            seed_torch(seed, problem.device)
            loss = problem.loss({name: tensor[index] for name, tensor in tensors.items()})
            found.append(torch.autograd.grad(loss, self._weights, allow_unused=True, materialize_grads=True))
            losses.append(loss.detach())
        if before is not None:
            problem.parameters.copy_(before)
        return Gradients(
            [
                (place.columns, torch.stack([row[index].reshape(-1) for row in found]))
                for index, place in enumerate(problem.places)
            ],
            torch.stack(losses),
        )


class Batched(Backward):
    """One backward pass for many workers. Dropout draws for each of them, but other numbers than `OneByOne`."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.at_once = max(1, _MOST_BYTES // (4 * len(problem.parameters)))
        self._shared = self._vectorised(None)
        self._own = self._vectorised(0)

    def _vectorised(self, where: int | None) -> Function:
        def loss(weights: dict[str, torch.Tensor], tensors: Tensors) -> torch.Tensor:
            found: torch.Tensor = functional_call(self._problem.loss, weights, (tensors,))
            return found

        made: Function = vmap(grad_and_value(loss), in_dims=(where, 0), randomness="different")
        return made if self._problem.draws else Repeated(made)

    def gradients(self, points: torch.Tensor | None, tensors: Tensors, seeds: list[int]) -> Gradients:
        """Return the gradients of k workers; see `Backward`."""
        problem = self._problem
        seed_torch(seeds[0], problem.device)
        weights = problem.weights(problem.parameters if points is None else points)
        found, losses = (self._own if points is not None and points.dim() == 2 else self._shared)(weights, tensors)
        pieces = [(place.columns, found[place.name].reshape(len(seeds), -1)) for place in problem.places]
        return Gradients(pieces, losses)
