"""The gradients of a stage as one vector, in the order of its weights."""

from __future__ import annotations

import torch

from btard.pipeline.schedule.worker import StageWorker, gradient_of


def gradient_numbers(worker: StageWorker) -> int:
    """Return d, how many numbers the gradients of a stage have."""
    return sum(weight.numel() for weight in worker.stage.weights().values())


def flat_gradient(worker: StageWorker) -> torch.Tensor:
    """Return a copy of what has been summed so far, float32 of shape (d,); zeros for a weight that no pass has used."""
    return torch.cat([gradient_of(weight).reshape(-1) for weight in worker.stage.weights().values()])


def set_flat_gradient(worker: StageWorker, vector: torch.Tensor) -> None:
    """Put a vector, float32 of shape (d,), in the place of a stage's gradients."""
    weights = list(worker.stage.weights().values())
    for weight, piece in zip(weights, vector.split([weight.numel() for weight in weights]), strict=True):
        weight.grad = piece.reshape(weight.shape).clone()
