"""The model on what is held out."""

from __future__ import annotations

import math

import torch

from btard.hashing import digest
from btard.lab.training.settings import ExperimentSettings
from btard.lab.training.workers.normalisation import statistics_from
from btard.lab.training.workers.problem import Problem
from btard.lab.training.workers.samplers import seed_of
from btard.tasks.base import Batch
from btard.tensors import bytes_of

_STATISTICS_BATCHES = 16
"""Batches that running statistics are the mean of."""

_STATISTICS_SAMPLES = 64


def evaluate(problem: Problem, settings: ExperimentSettings, origin_seed: int) -> tuple[float, float]:
    """Return accuracy (nan for a task without labels) and mean loss on held-out samples.

    The model is in evaluation mode. Its batch normalisation uses the statistics of training batches that a public seed
    draws, or means 0 and variances 1 with `legacy_eval`.
    """
    held_out = problem.task.evaluation_batch()
    size = settings.evaluation_batch_size
    most = held_out.samples if not settings.evaluation_batches else settings.evaluation_batches * size
    right, total, losses = 0, 0, 0.0
    statistics = (
        problem.task.batch(seed_of("statistics", origin_seed, number), _STATISTICS_SAMPLES).to(problem.device).tensors
        for number in range(_STATISTICS_BATCHES)
    )
    with statistics_from(problem.loss, statistics):
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


def checksum(parameters: torch.Tensor) -> str:
    """Return the hex BLAKE3 of parameters (d,) float32."""
    return digest(bytes_of(parameters.cpu())).hex()
