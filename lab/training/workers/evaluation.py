"""The model on what is held out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from btard.hashing import digest
from btard.lab.training.settings import ExperimentSettings
from btard.lab.training.workers.problem import Problem
from btard.tasks.base import Batch
from btard.tasks.batch_statistics import recomputed_statistics
from btard.tensors import bytes_of


def evaluate(problem: Problem, settings: ExperimentSettings) -> tuple[float, float]:
    """Return accuracy (nan for a task without labels) and mean loss on held-out samples.

    The model is in evaluation mode. Its batch normalisation uses the statistics of the task's public batches, as live
    evaluations do, or means 0 and variances 1 with `legacy_eval`.
    """
    held_out = problem.task.evaluation_batch()
    size = settings.evaluation_batch_size
    most = held_out.samples if not settings.evaluation_batches else settings.evaluation_batches * size
    right, total, losses = 0, 0, 0.0
    public = () if settings.legacy_eval else problem.task.statistics_batches()
    with (
        _evaluating(problem),
        recomputed_statistics(
            problem.model, (batch.to(problem.device) for batch in public), lambda batch: problem.loss(batch.tensors)
        ),
    ):
        for start in range(0, min(most, held_out.samples), size):
            stop = min(start + size, most, held_out.samples)
            pieces = {name: tensor[start:stop].to(problem.device) for name, tensor in held_out.tensors.items()}
            batch = Batch(pieces, stop - start)
            losses += float(problem.loss(batch.tensors)) * batch.samples
            found = problem.right_answers(batch)
            right = right + found if found is not None else -1
            total += batch.samples
    accuracy = right / total if right >= 0 else math.nan
    return accuracy, losses / total


@contextmanager
def _evaluating(problem: Problem) -> Iterator[None]:
    """Inside, the model is in evaluation mode, and nothing is differentiated."""
    was_training = problem.loss.training
    problem.loss.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        problem.loss.train(was_training)


def checksum(parameters: torch.Tensor) -> str:
    """Return the hex BLAKE3 of parameters (d,) float32."""
    return digest(bytes_of(parameters.cpu())).hex()
