"""Batch normalisation whose running statistics are no state: two peers that train on different batches stay equal.

In training every batch is normalised by its own mean and variance. The buffers stay at their first values, 0 and 1; for
an evaluation they are computed anew from batches that everyone can draw, and afterwards they are 0 and 1 again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from btard.tasks.base import Batch


def normalising(model: nn.Module) -> list[_BatchNorm]:
    """Return the layers of batch normalisation that have running statistics."""
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]


def freeze_statistics(model: nn.Module) -> None:
    """Keep training from moving the running statistics."""
    for layer in normalising(model):
        layer.track_running_stats = False


@contextmanager
def recomputed_statistics(
    model: nn.Module, batches: Iterable[Batch], forward: Callable[[Batch], object]
) -> Iterator[None]:
    """Inside, the running statistics are the averages over some batches; afterwards they are as before, bit by bit.

    Args:
        model: in evaluation mode.
        batches: drawn only if the model has such layers; none leaves the statistics as they are.
        forward: runs the model on a batch.
    """
    layers = normalising(model)
    kept = [{name: buffer.clone() for name, buffer in layer.named_buffers(recurse=False)} for layer in layers]
    try:
        if layers:
            _recompute(layers, batches, forward)
        yield
    finally:
        with torch.no_grad():
            for layer, buffers in zip(layers, kept, strict=True):
                for name, buffer in layer.named_buffers(recurse=False):
                    buffer.copy_(buffers[name])


@torch.no_grad()
def _recompute(layers: list[_BatchNorm], batches: Iterable[Batch], forward: Callable[[Batch], object]) -> None:
    sums = [(torch.zeros_like(layer.running_mean), torch.zeros_like(layer.running_var)) for layer in layers]  # type: ignore[arg-type]
    count = 0
    before = [(layer.training, layer.track_running_stats, layer.momentum) for layer in layers]
    try:
        for layer in layers:
            # With a momentum of 1 the buffers are those of the last batch alone.
            layer.training, layer.track_running_stats, layer.momentum = True, True, 1.0
        for batch in batches:
            forward(batch)
            count += 1
            for layer, (mean, variance) in zip(layers, sums, strict=True):
                assert layer.running_mean is not None and layer.running_var is not None
                mean += layer.running_mean
                variance += layer.running_var
    finally:
        for layer, (training, tracks, momentum) in zip(layers, before, strict=True):
            layer.training, layer.track_running_stats, layer.momentum = training, tracks, momentum
    for layer, (mean, variance) in zip(layers, sums, strict=True):
        assert layer.running_mean is not None and layer.running_var is not None
        if count:
            layer.running_mean.copy_(mean / count)
            layer.running_var.copy_(variance / count)
